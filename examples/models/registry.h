// The zoo: every model by name, with the data that it is trained on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"

namespace mnemo::models {

/// Which edge lengths of the input a model takes.
struct Sizes {
  std::int64_t smallest = 1;
  std::int64_t largest = 0;   ///< 0: no limit
  std::int64_t multiple = 1;  ///< of which it must be a multiple

  bool contains(std::int64_t size) const;
  /// "26 to 29", "multiples of 4", "7 or more"
  std::string text() const;
};

/// One model: how it is made, and what one batch looks like.
struct Spec {
  std::string name;
  std::string description;
  std::int64_t batch = 1;  ///< unless told otherwise
  std::int64_t size = 0;   ///< edge length of the input, unless told otherwise; 0: `extents` are its sizes
  std::vector<std::int64_t> extents = {};
  Sizes sizes = {};
  std::int64_t channels = 1;  ///< of the input
  int spatial_rank = 2;       ///< 1: sequences, 2: images, 3: volumes
  std::int64_t classes = 0;   ///< 0: a regression towards zero
  bool dense = false;         ///< a class for each pixel or voxel, not one for the whole input
  std::function<std::unique_ptr<Model>()> make = {};

  /// `edge` 0: the extents.
  Shape input_shape(std::int64_t batch_size, std::int64_t edge) const;
  Shape target_shape(std::int64_t batch_size, std::int64_t edge) const;
};

std::span<const Spec> specs();
/// The model of that name, or nullptr.
const Spec* find_spec(std::string_view name);

/// Random input on the current device, and random targets where the model has classes.
struct Batch {
  Tensor input, targets;
};
Batch random_batch(const Spec& spec, std::int64_t batch_size, std::int64_t edge, DType dtype = DType::float32);

/// Cross entropy against the targets, or the mean of the squares where there are no classes.
Tensor loss(const Spec& spec, const Tensor& output, const Tensor& targets);

/// Number of trained values, counted without memory. The program's random numbers are not touched.
std::int64_t parameter_count(const Spec& spec);
/// Of all modules with parameters and of those that hold them, in order; the model itself is "". Found likewise.
std::vector<std::string> module_paths(const Spec& spec);

}  // namespace mnemo::models
