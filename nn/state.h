// Saving and loading what a model has learned: its parameters and buffers by their dotted names, in the safetensors
// format (core/tensor_file.h), which PyTorch and others read and write. Optimizers save their own: Optimizer::save.
//
//   nn::save(net, "net.safetensors");
//   nn::load(net, "net.safetensors");
//   nn::copy(net, best);
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mnemo/nn/module.h>

namespace mnemo::nn {

struct LoadOptions {
  /// Whether the file must have all names of the model and no others. Shapes and dtypes must fit in any case.
  bool strict = true;
};

/// What was not loaded, of a file that need not have all names and no others.
struct LoadResult {
  std::vector<std::string> missing;     ///< names of the model that the file does not have: they keep their values
  std::vector<std::string> unexpected;  ///< names of the file that the model does not have
};

/// Every parameter and buffer of a model: named_parameters(), then named_buffers().
template <class Model>
std::vector<NamedTensor> state(Model& model) {
  std::vector<NamedTensor> all = model.named_parameters();
  for (NamedTensor& buffer : model.named_buffers()) all.push_back(std::move(buffer));
  return all;
}

/// Writes a file, which takes the place of one that is there when it is complete. Elements are row-major, in the
/// tensors' own dtypes. Throws DeviceError for a model on a virtual device, whose values nobody knows, and FileError.
void save_state(std::span<const NamedTensor> state, const std::string& path,
                const std::map<std::string, std::string>& metadata = {});
template <class Model>
void save(Model& model, const std::string& path, const std::map<std::string, std::string>& metadata = {}) {
  save_state(state(model), path, metadata);
}

/// Reads a file into the model's tensors, on whatever device they are, in place: an optimizer that was made of them
/// goes on with the new values. Floating-point values are cast to the model's dtype; others must have it. A virtual
/// device gets no values, only names, shapes and dtypes are compared. PyTorch's count of batches
/// (`num_batches_tracked`), which mnemo's normalizations do not have, is passed over. Throws FileError that names
/// everything that does not fit, with both shapes; an error changes nothing. All of the model is in host memory for a
/// moment.
LoadResult load_state(std::span<const NamedTensor> state, const std::string& path, const LoadOptions& options = {});
template <class Model>
LoadResult load(Model& model, const std::string& path, const LoadOptions& options = {}) {
  return load_state(state(model), path, options);
}

/// Gives every tensor of `to` the values of the one of that name in `from`, in place, whatever their strides, floating
/// dtypes and devices: from another device by as much memory for a moment. Throws ShapeError that names everything that
/// does not fit; an error changes nothing.
void copy_state(std::span<const NamedTensor> from, std::span<const NamedTensor> to);
/// The parameters and buffers of a model into another one of its kind: a target network, what an average of the weights
/// begins with, the best ones so far. `Net other = net` would share them instead.
template <class From, class To>
void copy(From& from, To& to) {
  copy_state(state(from), state(to));
}

}  // namespace mnemo::nn
