// Files of named tensors in the safetensors format, which PyTorch and others read and write: reading one tensor after
// the other, and writing a file at once. What the format says is in tensor_header.h.
#pragma once

#include <fstream>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/core/array.h>
#include <mnemo/core/tensor_header.h>

namespace mnemo {

/// An array with its name in a file.
struct NamedArray {
  std::string name;
  Array array;
};

/// A file that is read. Only its header is kept in memory.
class TensorFile {
 public:
  /// Throws FileError with the reason for what is no regular file, or not in the format: see parse_tensor_header.
  explicit TensorFile(std::string path);

  const std::string& path() const { return path_; }
  const std::vector<TensorEntry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  /// nullptr if there is none of that name.
  const TensorEntry* find(std::string_view name) const;

  /// The elements, row-major, on `device`; nothing is read for a virtual one. Throws DTypeError for a dtype that mnemo
  /// does not have, ShapeError for more than 8 axes, FileError when the file has changed, OutOfMemory.
  Array read(const TensorEntry& entry, const Device& device = "cpu");
  /// `count` positions of its first axis from `first` on. Throws ShapeError if they are not there.
  Array read(const TensorEntry& entry, std::int64_t first, std::int64_t count, const Device& device = "cpu");

 private:
  Array read_bytes(const Shape& shape, DType dtype, std::uint64_t begin, const Device& device);

  std::string path_;
  std::ifstream stream_;
  TensorHeader header_;
  std::uint64_t buffer_ = 0;  ///< where it begins
};

/// The dtype and the shape of an entry; throw DTypeError and ShapeError for what mnemo cannot hold.
DType dtype_of(const TensorEntry& entry);
Shape shape_of(const TensorEntry& entry);

/// Writes a file that takes the place of the one at `path` at the end, all at once; until then, and after an error,
/// that one is as it was. Elements are written row-major, whatever their strides, one array after the other: besides
/// the arrays no more than the largest is in host memory. Throws DeviceError for an array on a virtual device, whose
/// values nobody knows; FileError where the file cannot be written or its header not made: see write_tensor_header.
void write_tensors(const std::string& path, std::span<const NamedArray> arrays,
                   const std::map<std::string, std::string>& metadata = {});

}  // namespace mnemo
