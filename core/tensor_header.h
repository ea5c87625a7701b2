// The header of a file of named tensors in the safetensors format: which tensors it holds, and where. Eight bytes with
// the header's length, the header (JSON), then one buffer with every tensor's elements, row-major and little-endian.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/core/dtype.h>

namespace mnemo {

/// The longest header that is read or written, in bytes.
inline constexpr std::uint64_t kLongestTensorHeader = 100'000'000;
/// The bytes before the header, which say how long it is.
inline constexpr std::uint64_t kTensorHeaderLength = 8;

/// One tensor of a file.
struct TensorEntry {
  std::string name = {};
  std::string dtype = {};  ///< as the format calls it: "F32", "BF16", also what mnemo has not, such as "F8_E4M3"
  std::vector<std::int64_t> sizes = {};  ///< empty: a single number
  std::uint64_t begin = 0;               ///< its bytes in the buffer: [begin, end)
  std::uint64_t end = 0;

  bool operator==(const TensorEntry&) const = default;
};

struct TensorHeader {
  std::vector<TensorEntry> entries;  ///< in the order of their bytes, of which they leave none out
  std::map<std::string, std::string> metadata = {};

  bool operator==(const TensorHeader&) const = default;
};

/// The length of the header, from the first bytes of a file of `file_size` bytes. Throws FileError, with `name` before
/// the reason, where fewer than 8 bytes are there, or the header is longer than the limit or than the file.
std::uint64_t tensor_header_length(std::string_view first, std::uint64_t file_size, const std::string& name);

/// Reads a header of which the length was taken off, before a buffer of `buffer_size` bytes. It is strict: throws
/// FileError with `name` and the reason for anything but one JSON object that begins at once, and has nothing but
/// blanks behind it; for names and fields that come twice; for unknown dtypes and fields; for sizes and places that are
/// not whole numbers from 0 on, or overflow; and unless the tensors' bytes are just the buffer's, without gap or
/// overlap.
TensorHeader parse_tensor_header(std::string_view text, std::uint64_t buffer_size, const std::string& name);

/// Lays tensors out as the format's own library does: dtypes with wide elements first, then by name, one behind the
/// other. Sets `begin` and `end`. REQUIRES: sizes whose bytes do not overflow, and dtypes of the format.
void lay_out(std::vector<TensorEntry>& entries);
/// The header with its length before it, filled up with blanks to a multiple of 8 bytes. Throws FileError, with `name`
/// before the reason, for names that come twice, are none ("__metadata__"), or are no UTF-8, and for too long a header.
std::string write_tensor_header(const TensorHeader& header, const std::string& name);

/// "F32" and so on.
const char* format_name(DType dtype);
/// The dtype that the format calls so, if mnemo has it.
std::optional<DType> dtype_of_format(std::string_view text);

}  // namespace mnemo
