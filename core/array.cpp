#include <mnemo/core/array.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <fmt/format.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/core/stream.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

StorageRef new_storage(const Shape& shape, DType dtype, const Device& device) {
  const std::int64_t bytes = checked_multiply(shape.numel(), size_of(dtype), "the number of bytes");
  return StorageRef(new Storage(device, bytes));
}

/// Notes between which numbers the `count` integers at `values` lie, which are all that is in the array's storage.
void note_range(const std::int64_t* values, std::int64_t count, const Array& array) {
  const auto [least, greatest] = std::minmax_element(values, values + count);
  array.storage()->set_integers({*least, *greatest});
}

void check_defined(const char* op, const Array& array) {
  if (!array.defined()) fail<Error>(op, "the array is undefined: it was default-constructed or moved from");
}

}  // namespace

Array::Array(const Shape& shape, DType dtype, const Device& device)
    : storage_(new_storage(shape, dtype, device)), layout_(Layout::contiguous(shape)), dtype_(dtype) {}

Array Array::like(const Array& other) { return like(other, other.dtype()); }

Array Array::like(const Array& other, DType dtype) {
  Array result(other.shape(), dtype, other.device());
  if (!other.is_contiguous() && other.layout().is_dense()) result.layout_.strides = other.strides();
  return result;
}

template <class T>
Array Array::from(const std::vector<T>& values, const Shape& shape, const Device& device) {
  if (static_cast<std::int64_t>(values.size()) != shape.numel()) {
    fail<ShapeError>("from", fmt::format("{} values do not fill the shape {} ({} elements)", values.size(),
                                         shape.text(), shape.numel()));
  }
  Array result(shape, dtype_of<T>(), device);
  if (values.empty()) return result;
  if constexpr (std::is_same_v<T, bool>) {
    const std::vector<std::uint8_t> bytes(values.begin(), values.end());  // a vector of bool has its elements in bits
    device.backend().write(bytes.data(), result);
  } else {
    device.backend().write(values.data(), result);
  }
  if constexpr (std::is_same_v<T, std::int64_t>) note_range(values.data(), result.numel(), result);
  return result;
}

Array Array::transpose(int a, int b) const {
  a = normalize_axis(a, rank(), "transpose");
  b = normalize_axis(b, rank(), "transpose");
  Dims order = shape();
  for (int axis = 0; axis < rank(); ++axis) order[axis] = axis;
  std::swap(order[a], order[b]);
  return permute(order);
}

Array Array::reshape(const Dims& sizes) const {
  Dims wanted = sizes;
  int unknown = -1;
  std::int64_t known = 1;
  for (int axis = 0; axis < wanted.rank(); ++axis) {
    if (wanted[axis] != -1) {
      known = checked_multiply(known, wanted[axis], "the number of elements");
    } else if (unknown < 0) {
      unknown = axis;
    } else {
      fail<ShapeError>("reshape", fmt::format("{} has more than one size -1", sizes.text()));
    }
  }
  if (unknown >= 0 && known > 0 && numel() % known == 0) wanted[unknown] = numel() / known;
  if (unknown >= 0 && wanted[unknown] == -1) {
    fail<ShapeError>("reshape", fmt::format("{} has {} elements, which the other sizes of {} do not divide",
                                            shape().text(), numel(), sizes.text()));
  }
  const Shape target(wanted);
  if (target.numel() != numel()) {
    fail<ShapeError>("reshape", fmt::format("{} has {} elements, {} has {}", shape().text(), numel(), target.text(),
                                            target.numel()));
  }
  if (auto view = layout_.reshape(target)) return {storage_, *view, dtype_};
  return contiguous().reshape(target);
}

Array Array::contiguous() const {
  if (is_contiguous()) return *this;
  Array result(shape(), dtype_, device());
  count_operations(numel());
  device().backend().copy(*this, result);
  result.storage()->set_integers_of(*storage_);
  return result;
}

Array Array::channels_last() const {
  if (is_channels_last()) return *this;
  Dims inward{0}, outward{0, rank() - 1};
  for (int axis = 2; axis < rank(); ++axis) inward.push_back(axis), outward.push_back(axis - 1);
  inward.push_back(1);
  return permute(inward).contiguous().permute(outward);
}

Array Array::to(DType dtype) const {
  check_defined("to", *this);
  if (dtype == dtype_) return *this;
  Array result = like(*this, dtype);
  count_operations(numel());
  device().backend().copy(*this, result);
  return result;
}

Array Array::to(const Device& target) const {
  check_defined("to", *this);
  if (target == device()) return *this;
  const Array source = contiguous();
  Array result(shape(), dtype_, target);
  if (numel() == 0 || target.is_virtual()) return result;
  std::vector<std::byte> host(static_cast<std::size_t>(bytes()));
  device().backend().read(source, host.data());
  target.backend().write(host.data(), result);
  if (dtype_ == DType::int64) note_range(reinterpret_cast<const std::int64_t*>(host.data()), numel(), result);
  return result;
}

template <class T>
std::vector<T> Array::values() const {
  check_defined("values", *this);
  // Cast here and not on the device, where there may be no memory left to do so. What a virtual device does not know
  // is asked for in T, so that unknown integers are NaN as doubles too.
  const Array rows = contiguous();
  const Array source = device().is_virtual() ? Array(rows.storage_, rows.layout_, dtype_of<T>()) : rows;
  const std::int64_t count = numel();
  std::vector<T> result;
  visit(source.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const std::unique_ptr<E[]> host(new E[static_cast<std::size_t>(count)]);
    if (count > 0) device().backend().read(source, host.get());
    result.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) result.push_back(cast<T>(host[static_cast<std::size_t>(i)]));
  });
  return result;
}

void Array::record_stream(const Stream& stream) const {
  if (!(stream.device() == device())) {
    fail<DeviceError>("record_stream", fmt::format("the array {} lies on {}, and the stream is one of {}",
                                                   shape().text(), device().name(), stream.device().name()));
  }
  storage_->record_stream(stream.id());
}

double Array::item() const {
  if (numel() != 1) fail<ShapeError>("item", fmt::format("{} has {} elements, not one", shape().text(), numel()));
  return values<double>().front();
}

#define MNEMO_INSTANTIATE(T) template std::vector<T> Array::values<T>() const;
MNEMO_INSTANTIATE(double)
MNEMO_INSTANTIATE(float)
MNEMO_INSTANTIATE(float16)
MNEMO_INSTANTIATE(bfloat16)
MNEMO_INSTANTIATE(std::int64_t)
MNEMO_INSTANTIATE(std::int32_t)
MNEMO_INSTANTIATE(std::uint8_t)
MNEMO_INSTANTIATE(bool)
#undef MNEMO_INSTANTIATE
#define MNEMO_INSTANTIATE(T) template Array Array::from<T>(const std::vector<T>&, const Shape&, const Device&);
MNEMO_INSTANTIATE(double)
MNEMO_INSTANTIATE(float)
MNEMO_INSTANTIATE(float16)
MNEMO_INSTANTIATE(bfloat16)
MNEMO_INSTANTIATE(std::int64_t)
MNEMO_INSTANTIATE(std::int32_t)
MNEMO_INSTANTIATE(std::uint8_t)
MNEMO_INSTANTIATE(bool)
#undef MNEMO_INSTANTIATE

}  // namespace mnemo
