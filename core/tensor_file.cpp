#include <mnemo/core/tensor_file.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/core/file_replacement.h>

namespace mnemo {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian, and elements are copied as they are");

TensorFile::TensorFile(std::string path) : path_(std::move(path)) {
  std::error_code error;
  // A device or a pipe may have no end.
  if (!std::filesystem::is_regular_file(path_, error)) throw FileError(path_ + ": is no file that can be read");
  const std::uint64_t size = std::filesystem::file_size(path_, error);
  stream_.open(path_, std::ios::binary);
  std::string first(kTensorHeaderLength, '\0');
  stream_.read(first.data(), static_cast<std::streamsize>(first.size()));
  first.resize(static_cast<std::size_t>(stream_.gcount()));
  const std::uint64_t length = tensor_header_length(first, size, path_);
  std::string text(length, '\0');
  stream_.read(text.data(), static_cast<std::streamsize>(length));
  if (!stream_) throw FileError(path_ + ": cannot be read");
  buffer_ = kTensorHeaderLength + length;
  header_ = parse_tensor_header(text, size - buffer_, path_);
}

const TensorEntry* TensorFile::find(std::string_view name) const {
  const auto& entries = header_.entries;
  const auto at = std::find_if(entries.begin(), entries.end(), [name](const TensorEntry& e) { return e.name == name; });
  return at == entries.end() ? nullptr : &*at;
}

Array TensorFile::read(const TensorEntry& entry, const Device& device) {
  return read_bytes(shape_of(entry), dtype_of(entry), entry.begin, device);
}

Array TensorFile::read(const TensorEntry& entry, std::int64_t first, std::int64_t count, const Device& device) {
  const Shape shape = shape_of(entry);
  if (shape.rank() == 0 || first < 0 || count < 0 || first > shape[0] - count) {
    fail<ShapeError>("read", fmt::format("{}: {} is {}, it has no positions {} to {}", path_, entry.name, shape.text(),
                                         first, first + count));
  }
  const std::uint64_t row = shape[0] == 0 ? 0 : (entry.end - entry.begin) / static_cast<std::uint64_t>(shape[0]);
  return read_bytes(shape.with(0, count), dtype_of(entry), entry.begin + static_cast<std::uint64_t>(first) * row,
                    device);
}

Array TensorFile::read_bytes(const Shape& shape, DType dtype, std::uint64_t begin, const Device& device) {
  const Array array(shape, dtype, device);
  if (array.numel() == 0 || device.is_virtual()) return array;
  // Not by way of the CPU's allocator, whose ledger is the program's.
  const auto size = static_cast<std::size_t>(array.bytes());
  const std::unique_ptr<char[]> host(new char[size]);
  stream_.clear();
  stream_.seekg(static_cast<std::streamoff>(buffer_ + begin));
  stream_.read(host.get(), static_cast<std::streamsize>(size));
  if (!stream_) throw FileError(fmt::format("{}: has changed while it was read, or cannot be read any more", path_));
  // A truth value in memory must be 0 or 1, whatever the file says.
  if (dtype == DType::boolean) std::transform(host.get(), host.get() + size, host.get(), [](char c) { return c != 0; });
  device.backend().write(host.get(), array);
  return array;
}

DType dtype_of(const TensorEntry& entry) {
  const std::optional<DType> dtype = dtype_of_format(entry.dtype);
  if (!dtype) fail<DTypeError>("read", fmt::format("{} is {}, which mnemo does not have", entry.name, entry.dtype));
  return *dtype;
}

Shape shape_of(const TensorEntry& entry) { return Shape(Dims(entry.sizes)); }

void write_tensors(const std::string& path, std::span<const NamedArray> arrays,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, array] : arrays) {
    if (array.device().is_virtual()) {
      fail<DeviceError>("save", fmt::format("{} lies on {}, where values are unknown: there is nothing to write to {}",
                                            name, array.device().name(), path));
    }
    const Shape& shape = array.shape();
    entries.push_back({.name = name, .dtype = format_name(array.dtype()), .sizes = {shape.begin(), shape.end()}});
  }
  lay_out(entries);
  const std::string header = write_tensor_header({.entries = entries, .metadata = metadata}, path);
  std::unordered_map<std::string_view, const Array*> by_name;
  for (const auto& [name, array] : arrays) by_name[name] = &array;

  FileReplacement file(path);
  file.stream().write(header.data(), static_cast<std::streamsize>(header.size()));
  std::vector<char> host;
  for (const TensorEntry& entry : entries) {
    if (entry.begin == entry.end || !file.stream()) continue;
    const Array array = by_name.at(entry.name)->contiguous();
    host.resize(entry.end - entry.begin);
    array.device().backend().read(array, host.data());
    file.stream().write(host.data(), static_cast<std::streamsize>(host.size()));
  }
  if (const std::error_code error = file.put_in_place())
    throw FileError(fmt::format("{}: cannot be written: {}", path, error.message()));
}

}  // namespace mnemo
