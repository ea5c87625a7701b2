// One convolution layer: what a forward pass and a training step of it take, by formula and measured.
#pragma once

#include <string>

#include <mnemo/mnemo.h>

#include "labs/arithmetic.h"

namespace mnemo::labs {

/// A layer of stride 1 with its input: a batch of squares or cubes.
struct LayerCase {
  int rank = 3;
  std::int64_t in = 16;
  std::int64_t out = 32;
  std::int64_t kernel = 3;
  std::int64_t padding = 0;
  std::int64_t batch = 1;
  std::int64_t size = 16;  ///< edge length of the input
  DType dtype = DType::float32;
  ConvPolicy policy = {};

  LayerCase at(std::int64_t other_size) const;
  /// "conv3d:16,32,k3,p1@4x16x32x32x32", as `mnemo step` takes it
  std::string text() const;
  /// "conv3d 16->32 k3 p1, batch 4, float32 channels-last", in the layout that the device takes
  std::string title(const Device& device) const;
  /// "32^3"
  std::string size_text() const;
};

/// The allocator options under which blocks have the bytes that arithmetic gives them. With the default ones a large
/// block keeps what is left over when that is less than 1 MiB, and which block is reused is a matter of history.
memory::AllocatorConfig exact_blocks();

/// Bytes by formula. Only the workspaces are asked of the device, which decides about them without running anything.
class LayerFormula {
 public:
  LayerFormula(const LayerCase& layer, const Device& device) : case_(layer), device_(device) {}

  std::int64_t output_edge() const { return case_.size + 2 * case_.padding - case_.kernel + 1; }
  std::int64_t weight_values() const;
  memory::Bytes weight() const { return bytes(weight_values()); }
  memory::Bytes bias() const { return bytes(case_.out); }
  memory::Bytes parameters() const { return weight() + bias(); }
  memory::Bytes input() const;
  memory::Bytes output() const;
  ConvPlan plan(ConvPass pass) const;
  memory::Bytes workspace(ConvPass pass) const { return block_bytes(plan(pass).workspace, 1); }
  /// Reserved after a forward pass on a fresh device.
  memory::Bytes reserved() const;
  /// The moment at which a training step with plain SGD holds most, its loss being the mean of the squares.
  Moment step_peak() const;

 private:
  memory::Bytes bytes(std::int64_t values) const { return block_bytes(values, size_of(case_.dtype)); }

  const LayerCase& case_;
  const Device& device_;
};

/// The same, measured on a fresh device each time.
struct LayerMeasurement {
  std::int64_t output_edge = 0;
  std::int64_t weight_values = 0;
  memory::Bytes parameters = 0;
  memory::Bytes input = 0;
  memory::Bytes output = 0;
  memory::Bytes workspace = 0;  ///< of the forward pass, at its peak
  memory::Bytes reserved = 0;   ///< after the forward pass
  memory::Bytes step_peak = 0;
};
LayerMeasurement measure(const LayerCase& layer, const std::string& device);

/// The peak of the second training step on a fresh device.
memory::Peak measure_step(const LayerCase& layer, const std::string& device, const memory::AllocatorConfig& config);
/// The workspace of one pass alone.
memory::Bytes measure_workspace(const LayerCase& layer, ConvPass pass, const std::string& device);

}  // namespace mnemo::labs
