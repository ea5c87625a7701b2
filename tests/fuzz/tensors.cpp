// Any bytes as a file of tensors: refused with a FileError, or a header whose tensors are just the bytes behind it, and
// which is the same when it is written and read again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <mnemo/core/tensor_header.h>
#include <mnemo/memory/error.h>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void read(const std::string& bytes) {
  using namespace mnemo;
  TensorHeader header;
  std::uint64_t buffer = 0;
  try {
    const std::uint64_t length = tensor_header_length(bytes, bytes.size(), "tensors");
    buffer = bytes.size() - kTensorHeaderLength - length;
    header = parse_tensor_header(std::string_view(bytes).substr(kTensorHeaderLength, length), buffer, "tensors");
  } catch (const FileError&) {
    return;
  }
  std::uint64_t end = 0;
  for (const TensorEntry& entry : header.entries) {
    require(entry.begin == end && entry.end >= end);
    end = entry.end;
  }
  require(end == buffer);
  // What was accepted can be written: an error here is one of the program.
  const std::string written = write_tensor_header(header, "tensors");
  require(written.size() % 8 == 0);
  require(parse_tensor_header(std::string_view(written).substr(kTensorHeaderLength), buffer, "tensors") == header);
  lay_out(header.entries);
  require(header.entries.empty() || header.entries.back().end == buffer);
}

/// The same header with the length that it has: a fuzzer would seldom guess it.
std::string with_length(std::string bytes) {
  const std::size_t close = bytes.rfind('}');
  if (bytes.size() < 8 || close == std::string::npos || close < 8) return bytes;
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((close + 1 - 8) >> (8 * i) & 0xff);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  read(with_length(bytes));
  return 0;
}
