// One Conv3d layer of 16 to 32 channels: what a forward pass and a training step of it take, by formula and measured.
#pragma once

#include <string>

#include <mnemo/mnemo.h>

namespace mnemo::labs {

/// The layer with its input: a model of the zoo, and a batch of cubes.
struct Conv3dCase {
  const char* model;
  std::int64_t kernel = 3;
  std::int64_t padding = 0;
  std::int64_t batch = 1;
  std::int64_t size = 16;
  ConvPolicy::Choice algorithm = ConvPolicy::Choice::automatic;
};

/// Bytes by formula. Only the workspaces are asked of the device, which decides about them without running anything.
class Conv3dFormula {
 public:
  Conv3dFormula(const Conv3dCase& layer, const Device& device) : case_(layer), device_(device) {}

  std::int64_t output_edge() const { return case_.size + 2 * case_.padding - case_.kernel + 1; }
  std::int64_t weight_values() const;
  memory::Bytes parameters() const;
  memory::Bytes input() const;
  memory::Bytes output() const;
  memory::Bytes workspace(ConvPass pass) const;
  /// Reserved after a forward pass on a fresh device.
  memory::Bytes reserved() const;
  /// The peak of a training step with plain SGD, its loss being the mean of the squares.
  memory::Bytes step_peak() const;

 private:
  const Conv3dCase& case_;
  const Device& device_;
};

/// The same, measured on a fresh device each time.
struct Conv3dMeasurement {
  std::int64_t output_edge = 0;
  std::int64_t weight_values = 0;
  memory::Bytes parameters = 0;
  memory::Bytes input = 0;
  memory::Bytes output = 0;
  memory::Bytes workspace = 0;  ///< of the forward pass, at its peak
  memory::Bytes reserved = 0;   ///< after the forward pass
  memory::Bytes step_peak = 0;
};
Conv3dMeasurement measure(const Conv3dCase& layer, const std::string& device);

}  // namespace mnemo::labs
