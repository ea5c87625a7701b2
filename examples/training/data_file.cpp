#include "training/data_file.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mnemo::training {

namespace {

std::string described(const TensorEntry& entry) {
  return fmt::format("{} is {} ({})", entry.name, entry.dtype, fmt::join(entry.sizes, ", "));
}

}  // namespace

DataFile::DataFile(const std::string& path, const models::Spec& spec)
    : file_(path), input_(file_.find("input")), target_(file_.find("target")), host_(Device::open("cpu", {})) {
  check_input(spec);
  check_target(spec);
}

void DataFile::check_input(const models::Spec& spec) const {
  if (input_ == nullptr) {
    std::vector<std::string> names;
    for (const TensorEntry& entry : file_.entries()) names.push_back(entry.name);
    throw FileError(fmt::format("{}: has no tensor \"input\"; it has {}", path(),
                                names.empty() ? "none at all" : fmt::format("{}", fmt::join(names, ", "))));
  }
  const std::optional<DType> dtype = dtype_of_format(input_->dtype);
  const std::vector<std::int64_t>& sizes = input_->sizes;
  const bool right = dtype && is_floating(*dtype) && sizes.size() == static_cast<std::size_t>(spec.spatial_rank) + 2 &&
                     sizes[1] == spec.channels;
  if (!right) {
    const char* space = spec.spatial_rank == 1   ? "length"
                        : spec.spatial_rank == 2 ? "height, width"
                                                 : "depth, height, width";
    throw FileError(fmt::format("{}: {}; {} takes floating-point numbers (samples, {}, {})", path(), described(*input_),
                                spec.name, spec.channels, space));
  }
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end())
    throw FileError(fmt::format("{}: {}: there are no samples", path(), described(*input_)));
}

void DataFile::check_target(const models::Spec& spec) const {
  if (spec.classes == 0) {
    if (target_ == nullptr) return;
    throw FileError(
        fmt::format("{}: {}, but {} has no classes: its loss is the mean of the squares of its output; leave "
                    "the target out",
                    path(), described(*target_), spec.name));
  }
  std::vector<std::int64_t> wanted{samples()};
  if (spec.dense) wanted.insert(wanted.end(), input_->sizes.begin() + 2, input_->sizes.end());
  if (target_ != nullptr && target_->dtype == format_name(DType::int64) && target_->sizes == wanted) return;
  throw FileError(fmt::format("{}: {}; {} takes class indices from 0 to {}: target as I64 ({})", path(),
                              target_ == nullptr ? "has no tensor \"target\"" : described(*target_), spec.name,
                              spec.classes - 1, fmt::join(wanted, ", ")));
}

models::Batch DataFile::next(std::int64_t batch_size, DType dtype) {
  const memory::PhaseScope phase(memory::Phase::data);
  const memory::CategoryScope category(memory::Category::input);
  models::Batch batch{.input = take(*input_, batch_size, dtype), .targets = {}};
  if (target_ != nullptr) batch.targets = take(*target_, batch_size, DType::int64);
  at_ = (at_ + batch_size) % samples();
  return batch;
}

Tensor DataFile::take(const TensorEntry& entry, std::int64_t batch_size, DType dtype) {
  const Shape shape = shape_of(entry).with(0, batch_size);
  const Device device;
  if (device.is_virtual()) return Tensor(Array(shape, dtype, device));
  const Array host(shape, dtype, host_);
  std::int64_t at = at_;
  for (std::int64_t done = 0; done < batch_size;) {
    const std::int64_t count = std::min(batch_size - done, samples() - at);
    copy_into(file_.read(entry, at, count, host_), host.slice(0, done, done + count));
    done += count;
    at = (at + count) % samples();
  }
  return Tensor(host.to(device));
}

}  // namespace mnemo::training
