#include <mnemo/nn/state.h>

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/staged_values.h>
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
  const std::vector<Pair> pairs = compare(state, file, result, faults, options.strict);
  if (!faults.empty()) {
    const bool names_only = result.missing.size() + result.unexpected.size() == faults.size() && options.strict;
    throw FileError(fmt::format("{}: does not fit the model, which is as it was:\n  {}{}", path,
                                fmt::join(faults, "\n  "),
                                names_only ? "\n{.strict = false} loads what both have" : ""));
  }
  // A device of its own: what passes through it does not show in the ledger of the program's.
  const Device host = Device::open("cpu", {});
  StagedValues staged;
  for (const auto& [entry, array] : pairs) {
    if (!array->device().is_virtual()) staged.add(file.read(*entry, host), *array);
  }
  staged.write();
  return result;
}

void copy_state(std::span<const NamedTensor> from, std::span<const NamedTensor> to) {
  std::unordered_map<std::string_view, const Array*> unused;
  for (const auto& [name, tensor] : from) unused[name] = &tensor.array();
  std::vector<std::string> faults;
  std::vector<Array> values;
  for (const auto& [name, tensor] : to) {
    const auto at = unused.find(name);
    const Array& array = tensor.array();
    if (at == unused.end()) {
      faults.push_back(fmt::format("there is none: {}, {}", name, described(array)));
      continue;
    }
    const Array& given = *at->second;
    const bool cast = given.dtype() == array.dtype() || (is_floating(given.dtype()) && is_floating(array.dtype()));
    if (!(given.shape() == array.shape()) || !cast)
      faults.push_back(fmt::format("{} is {}, and {} where it is to go", name, described(given), described(array)));
    values.push_back(given);
    unused.erase(at);
  }
  for (const auto& [name, tensor] : from) {
    if (unused.contains(name)) faults.push_back(fmt::format("has no place: {}, {}", name, described(tensor.array())));
  }
  if (!faults.empty()) {
    fail<ShapeError>("copy_state", fmt::format("the models differ, and the second one is as it was:\n  {}",
                                               fmt::join(faults, "\n  ")));
  }
  for (std::size_t i = 0; i < to.size(); ++i) values[i] = values[i].to(to[i].tensor.device());
  for (std::size_t i = 0; i < to.size(); ++i) copy_into(values[i], to[i].tensor.array());
}

}  // namespace mnemo::nn
