// Conv1d layers one after the other, perhaps behind a pool that halves the length, trained with plain SGD: what they
// take, by formula and measured.
#pragma once

#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "labs/arithmetic.h"
#include "models/registry.h"

namespace mnemo::labs {

/// A convolution of stride 1 without padding.
struct Conv1dLayer {
  std::int64_t in = 128;
  std::int64_t out = 64;
  std::int64_t kernel = 3;
  std::int64_t groups = 1;
};

/// Bytes by formula, all blocks being multiples of 512. Only the workspaces are asked of the device. The input is data:
/// it needs no gradient, and stays until the step ends.
class Conv1dFormula {
 public:
  Conv1dFormula(const Device& device, std::vector<Conv1dLayer> layers, std::int64_t batch, std::int64_t length,
                bool pooled = false);

  std::int64_t output_length() const { return lengths_.back(); }
  std::int64_t parameter_values() const;
  memory::Bytes parameters() const;
  memory::Bytes input() const { return input_; }
  memory::Bytes output() const { return tensor(layers_.size()); }
  /// What the first convolution reads and what it writes.
  memory::Bytes first_conv() const { return tensor(0) + tensor(1); }
  /// What autograd keeps of the forward pass besides the input: what each convolution reads.
  memory::Bytes kept() const;
  /// The peak of a forward pass without recording: beside the parameters and the input two neighbouring tensors.
  memory::Bytes inference_peak() const;
  /// The peak of a training step that is not the first one; the loss is the mean of the squares.
  memory::Bytes step_peak() const;

 private:
  memory::Bytes weight(std::size_t layer) const;
  memory::Bytes bias(std::size_t layer) const { return block_bytes(layers_[layer].out); }
  /// What layer `place` reads, or the last one writes.
  memory::Bytes tensor(std::size_t place) const;
  /// The same, but 0 for the input.
  memory::Bytes activation(std::size_t place) const { return place == 0 && !pooled_ ? 0 : tensor(place); }
  memory::Bytes workspace(std::size_t layer, ConvPass pass) const;

  const Device& device_;
  std::vector<Conv1dLayer> layers_;
  std::int64_t batch_;
  bool pooled_;
  memory::Bytes input_;
  std::vector<std::int64_t> lengths_;  ///< of what each layer reads, and of what the last one writes
};

/// The same of a model that holds such layers, measured on a fresh device each time.
struct Conv1dMeasurement {
  std::int64_t output_length = 0;
  std::int64_t parameter_values = 0;
  memory::Bytes input = 0;
  memory::Bytes output = 0;
  memory::Bytes kept = 0;
  memory::Bytes inference_peak = 0;
  memory::Bytes step_peak = 0;
  memory::Bytes after_forward = 0;   ///< allocated in that step, with the output there
  std::int64_t step_operations = 0;  ///< core/work.h
};
Conv1dMeasurement measure(const models::Spec& spec, std::int64_t batch, std::int64_t length, const std::string& device);

/// A model of sequences with 128 channels that is no part of the zoo.
template <class M>
models::Spec sequence_spec(const char* name, M (*make)()) {
  models::Spec spec{.name = name, .description = name};
  spec.channels = 128;
  spec.spatial_rank = 1;
  spec.make = [make] { return models::as_model(make()); };
  return spec;
}

}  // namespace mnemo::labs
