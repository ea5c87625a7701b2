// Numbers and texts as few bytes: how plan files are written, and read again without trust in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mnemo {

/// Small numbers of either sign as small unsigned ones: 0, -1, 1, -2, ... are 0, 1, 2, 3, ...
constexpr std::uint64_t zigzag(std::int64_t value) {
  return static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t code) { return static_cast<std::int64_t>(code >> 1 ^ (0 - (code & 1))); }

/// 64-bit FNV-1a over words of eight bytes instead of single ones: as fast as it is read, and a change within one word
/// never goes unseen.
std::uint64_t checksum(std::string_view bytes);

class PackedWriter {
 public:
  /// Seven bits per byte, the lowest first.
  void number(std::uint64_t value);
  /// Eight bytes, the lowest first.
  void word(std::uint64_t value);
  /// Its length, then its bytes.
  void text(std::string_view text);
  void raw(std::string_view bytes) { bytes_ += bytes; }

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Every read is checked against the bytes that are left. Throws FileError: origin, what is wrong, and where.
class PackedReader {
 public:
  /// `origin` names the file and outlives the reader, as the bytes do.
  PackedReader(std::string_view bytes, std::string_view origin) : bytes_(bytes), next_(bytes.data()), origin_(origin) {}

  std::size_t left() const { return static_cast<std::size_t>(bytes_.data() + bytes_.size() - next_); }
  /// In the whole file, if its reader began there.
  std::size_t offset() const { return base_ + static_cast<std::size_t>(next_ - bytes_.data()); }

  std::uint64_t number();
  std::uint64_t word();
  /// Of at most `longest` bytes.
  std::string_view text(std::size_t longest);
  std::string_view raw(std::uint64_t count);
  /// A number of things of at least `least` bytes each: no more than the bytes that are left can hold.
  std::size_t count(std::size_t least);
  /// A number up to `most`, both included.
  std::uint64_t number(std::uint64_t most, const char* what);
  /// The next part, whose length stands before it; this one goes on behind it.
  PackedReader part();
  /// REQUIRES: nothing is left, else it throws.
  void finish() const;

  [[noreturn]] void refuse(const std::string& text) const;

 private:
  std::string_view bytes_;
  const char* next_;
  std::string_view origin_;
  std::size_t base_ = 0;
};

}  // namespace mnemo
