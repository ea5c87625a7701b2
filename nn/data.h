// Data: which samples of different sizes make a batch, and in which order batches come, so that memory suits them.
//
//   nn::BatchSampler sampler(lengths, {.batch = 8, .bucket = 16, .largest_first = true});
//   for (const nn::SampleBatch& batch : sampler.epoch())
//     step(nn::padded(samples_of(batch), batch.size));
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <mnemo/autograd/tensor.h>

namespace mnemo::nn {

struct SamplerOptions {
  /// In which order samples are taken; random orders take one number each of the program's stream.
  enum class Order : std::uint8_t {
    shuffled,
    as_given,
    ascending,  ///< by size: the allocator grows with every batch, and reuses little. To be seen, not used.
    descending,
  };

  std::int64_t batch = 1;  ///< samples per batch
  Order order = Order::shuffled;
  /// Samples of similar sizes share a batch, so that little is padded: each batch is cut from a run of this many
  /// batches' samples that is sorted by size. 1: no sorting.
  std::int64_t bucket = 1;
  /// Sizes are rounded up to a multiple of this: fewer different shapes.
  std::int64_t multiple = 1;
  /// The batch of the largest sizes comes first in every epoch: what is reserved for it serves all others.
  bool largest_first = false;
  bool drop_last = false;  ///< the batch that is not full is left out
};

/// Samples of one batch, and the size to which they are padded: the largest of theirs, rounded up.
struct SampleBatch {
  std::vector<std::int64_t> samples;
  std::int64_t size = 0;
};

/// Cuts samples of known sizes (lengths, edges) into batches, anew for every epoch.
class BatchSampler {
 public:
  /// Throws ShapeError for sizes below 0 and options below 1.
  BatchSampler(std::vector<std::int64_t> sizes, const SamplerOptions& options);

  /// The batches of one epoch. Every sample is in one batch, or none where the last is dropped.
  std::vector<SampleBatch> epoch() const;
  /// Batches per epoch.
  std::int64_t batches() const;

 private:
  std::vector<std::int64_t> ordered() const;
  SampleBatch cut(std::span<const std::int64_t> samples) const;

  std::vector<std::int64_t> sizes_;
  SamplerOptions options_;
};

/// Samples (C..., length) of one rank as a batch (N, C..., size): each is followed by `value` along its last axis. They
/// lie on one device and have one dtype; throws ShapeError for one that is longer than `size`, or differs elsewhere.
Tensor padded(std::span<const Tensor> samples, std::int64_t size, double value = 0);

}  // namespace mnemo::nn
