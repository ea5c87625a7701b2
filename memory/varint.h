// Whole numbers and texts as bytes, small numbers in few of them: seven bits per byte, lowest first, the top bit says
// that more follow. Signed numbers are folded so that small negative ones are short too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mnemo::memory {

inline constexpr int kVarintMost = 10;  ///< bytes that a number takes at most

constexpr std::uint64_t fold(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unfold(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

/// Writes `value` at `to`, which has room for kVarintMost bytes; returns the place after it.
inline std::uint8_t* put(std::uint8_t* to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<std::uint8_t>(value | 0x80);
  *to++ = static_cast<std::uint8_t>(value);
  return to;
}
inline std::uint8_t* put_signed(std::uint8_t* to, std::int64_t value) { return put(to, fold(value)); }

/// The same, appended to `bytes`.
void append(std::string& bytes, std::uint64_t value);
void append_signed(std::string& bytes, std::int64_t value);
void append_text(std::string& bytes, std::string_view text);

/// Reads what the functions above wrote, never past the end. Errors are FileError without a file name: whoever knows
/// it adds it.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : next_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool done() const { return next_ == end_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - next_); }

  std::uint8_t byte() {
    if (done()) refuse();
    return static_cast<std::uint8_t>(*next_++);
  }
  std::uint64_t number() {
    std::uint64_t value = byte();
    if (value < 0x80) return value;
    value &= 0x7f;
    for (int shift = 7;; shift += 7) {
      const std::uint64_t more = byte();
      if (shift > 63 || (shift == 63 && more > 1)) refuse();
      value |= (more & 0x7f) << shift;
      if (more < 0x80) return value;
    }
  }
  std::int64_t signed_number() { return unfold(number()); }
  std::string_view text();

 private:
  [[noreturn]] static void refuse();

  const char* next_;
  const char* end_;
};

}  // namespace mnemo::memory
