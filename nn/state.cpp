#include <mnemo/nn/state.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/tensor_file.h>

namespace mnemo::nn {

namespace {

/// "F32 (10, 1600)"
std::string described(const TensorEntry& entry) {
  return fmt::format("{} ({})", entry.dtype, fmt::join(entry.sizes, ", "));
}

std::string described(const Array& array) {
  return fmt::format("{} {}", format_name(array.dtype()), array.shape().text());
}

/// A count that PyTorch's normalizations keep beside their running statistics.
bool is_batch_count(std::string_view name) {
  constexpr std::string_view kCount = "num_batches_tracked";
  return name == kCount || name.ends_with("." + std::string(kCount));
}

bool can_take(const TensorEntry& entry, const Array& array) {
  const std::optional<DType> dtype = dtype_of_format(entry.dtype);
  return dtype && (*dtype == array.dtype() || (is_floating(*dtype) && is_floating(array.dtype())));
}

bool same_sizes(const TensorEntry& entry, const Shape& shape) {
  return std::equal(entry.sizes.begin(), entry.sizes.end(), shape.begin(), shape.end());
}

/// Which tensor of the file goes where in the model.
struct Pair {
  const TensorEntry* entry;
  const Array* array;
};

/// Goes through both sides; what does not fit, a line each, is in `faults`.
std::vector<Pair> compare(std::span<const NamedTensor> state, const TensorFile& file, LoadResult& result,
                          std::vector<std::string>& faults, bool strict) {
  std::unordered_map<std::string_view, const TensorEntry*> unused;
  for (const TensorEntry& entry : file.entries()) unused[entry.name] = &entry;
  std::vector<Pair> pairs;
  for (const auto& [name, tensor] : state) {
    const auto at = unused.find(name);
    const Array& array = tensor.array();
    if (at == unused.end()) {
      result.missing.push_back(name);
      if (strict) faults.push_back(fmt::format("missing in the file: {}, {}", name, described(array)));
      continue;
    }
    const TensorEntry& entry = *at->second;
    if (!same_sizes(entry, array.shape()))
      faults.push_back(fmt::format("{} is {} in the file, {} in the model", name, described(entry), described(array)));
    else if (!can_take(entry, array))
      faults.push_back(fmt::format("{} is {} in the file, which is not cast to {}", name, described(entry),
                                   format_name(array.dtype())));
    pairs.push_back({&entry, &array});
    unused.erase(at);
  }
  for (const TensorEntry& entry : file.entries()) {
    if (!unused.contains(entry.name) || is_batch_count(entry.name)) continue;
    result.unexpected.push_back(entry.name);
    if (strict) faults.push_back(fmt::format("not in the model: {}, {}", entry.name, described(entry)));
  }
  return pairs;
}

/// All axes, so that the elements of a dense array lie in this order.
Dims memory_order(const Layout& layout) {
  std::array<int, kMaxRank> axes{};
  const int count = layout.axes_by_stride(axes);
  Dims order;
  for (int i = 0; i < count; ++i) order.push_back(axes[static_cast<std::size_t>(i)]);
  for (int axis = 0; axis < layout.shape.rank(); ++axis) {
    if (layout.shape[axis] == 1) order.push_back(axis);
  }
  return order;
}

/// Values on the host, just as they will lie on the device: what is left to do cannot fail for want of memory.
struct Staged {
  Array host;    ///< row-major, with the dtype of `place`
  Array place;   ///< a row-major view of the model's memory, or memory beside it
  Array target;  ///< defined where `place` is memory beside the model's
};

Staged stage(TensorFile& file, const Pair& pair, const Device& host_device) {
  const Array& array = *pair.array;
  const Array host = file.read(*pair.entry, host_device).to(array.dtype());
  if (!array.layout().is_dense()) return {host, Array(array.shape(), array.dtype(), array.device()), array};
  const Dims order = memory_order(array.layout());
  return {host.permute(order).contiguous(), array.permute(order), {}};
}

}  // namespace

void save_state(std::span<const NamedTensor> state, const std::string& path,
                const std::map<std::string, std::string>& metadata) {
  std::vector<NamedArray> arrays;
  for (const auto& [name, tensor] : state) arrays.push_back({name, tensor.array()});
  write_tensors(path, arrays, metadata);
}

LoadResult load_state(std::span<const NamedTensor> state, const std::string& path, const LoadOptions& options) {
  TensorFile file(path);
  LoadResult result;
  std::vector<std::string> faults;
  std::vector<Pair> pairs = compare(state, file, result, faults, options.strict);
  if (!faults.empty()) {
    const bool names_only = result.missing.size() + result.unexpected.size() == faults.size() && options.strict;
    throw FileError(fmt::format("{}: does not fit the model, which is as it was:\n  {}{}", path,
                                fmt::join(faults, "\n  "),
                                names_only ? "\n{.strict = false} loads what both have" : ""));
  }
  std::erase_if(pairs, [](const Pair& pair) { return pair.array->device().is_virtual() || pair.array->numel() == 0; });
  // A device of its own: what passes through it does not show in the ledger of the program's.
  const Device host_device = Device::open("cpu", {});
  std::vector<Staged> all;
  for (const Pair& pair : pairs) all.push_back(stage(file, pair, host_device));
  for (const auto& [host, place, target] : all) {
    place.device().backend().write(host.data<std::byte>(), place);
    if (target.defined())
      copy_into(place, target);
    else
      place.storage()->changed_in_place();
  }
  return result;
}

}  // namespace mnemo::nn
