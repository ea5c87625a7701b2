#include <mnemo/core/planning/packed_bytes.h>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo {

namespace {

/// Compilers make one load of it.
std::uint64_t load_word(const char* bytes) {
  std::uint64_t word = 0;
  for (int i = 7; i >= 0; --i) word = word << 8 | static_cast<unsigned char>(bytes[i]);
  return word;
}

}  // namespace

std::uint64_t checksum(std::string_view bytes) {
  std::uint64_t state = 0xCBF29CE484222325 ^ bytes.size();
  // Each step maps different states to different states.
  auto mix = [&state](std::uint64_t word) {
    state = (state ^ word) * 0x00000100000001B3;
    state ^= state >> 32;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) mix(load_word(bytes.data() + at));
  std::uint64_t rest = 0;
  for (; at < bytes.size(); ++at) rest = rest << 8 | static_cast<unsigned char>(bytes[at]);
  mix(rest);
  return state;
}

void PackedWriter::number(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
  bytes_ += static_cast<char>(value);
}

void PackedWriter::word(std::uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8) bytes_ += static_cast<char>(value);
}

void PackedWriter::text(std::string_view text) {
  number(text.size());
  raw(text);
}

std::uint64_t PackedReader::number() {
  const char* const end = bytes_.data() + bytes_.size();
  std::uint64_t value = 0;
  for (unsigned shift = 0; next_ != end; shift += 7) {
    const auto byte = static_cast<unsigned char>(*next_++);
    if (shift == 63 && byte > 1) refuse("a number has more than 64 bits");
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  refuse("ends within a number");
}

std::uint64_t PackedReader::number(std::uint64_t most, const char* what) {
  const std::uint64_t value = number();
  if (value > most) refuse(fmt::format("{} is {}, but at most {} can be", what, value, most));
  return value;
}

std::uint64_t PackedReader::word() { return load_word(raw(8).data()); }

std::string_view PackedReader::raw(std::uint64_t count) {
  if (count > left()) refuse(fmt::format("{} bytes should follow, but {} are left", count, left()));
  const std::string_view taken(next_, static_cast<std::size_t>(count));
  next_ += count;
  return taken;
}

std::string_view PackedReader::text(std::size_t longest) { return raw(number(longest, "the length of a text")); }

std::size_t PackedReader::count(std::size_t least) {
  const std::uint64_t count = number();
  if (count > left() / least) {
    refuse(fmt::format("{} entries of at least {} bytes should follow, but {} bytes are left", count, least, left()));
  }
  return static_cast<std::size_t>(count);
}

PackedReader PackedReader::part() {
  const std::string_view bytes = raw(number());
  PackedReader part(bytes, origin_);
  part.base_ = offset() - bytes.size();
  return part;
}

void PackedReader::finish() const {
  if (left() > 0) refuse(fmt::format("{} bytes too many", left()));
}

void PackedReader::refuse(const std::string& text) const {
  throw FileError(fmt::format("{}: not a sound plan file: {} (byte {})", origin_, text, offset()));
}

}  // namespace mnemo
