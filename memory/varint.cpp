#include <mnemo/memory/varint.h>

#include <iterator>

#include <mnemo/memory/error.h>

namespace mnemo::memory {

void append(std::string& bytes, std::uint64_t value) {
  std::uint8_t buffer[kVarintMost];
  std::uint8_t* const end = put(buffer, value);
  bytes.append(std::begin(buffer), end);
}

void append_signed(std::string& bytes, std::int64_t value) { append(bytes, fold(value)); }

void append_text(std::string& bytes, std::string_view text) {
  append(bytes, text.size());
  bytes += text;
}

std::string_view ByteReader::text() {
  const std::uint64_t size = number();
  if (size > left()) refuse();
  const std::string_view text(next_, static_cast<std::size_t>(size));
  next_ += size;
  return text;
}

void ByteReader::refuse() { throw FileError("ends in the middle of a value"); }

}  // namespace mnemo::memory
