// Byte counts: the type, binary units, and how sizes are read ("24GiB") and written ("1.50 MiB").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mnemo::memory {

/// A number of bytes. Signed, so that differences are safe to take; never negative where it is a size.
using Bytes = std::int64_t;

inline constexpr Bytes KiB = Bytes{1} << 10;
inline constexpr Bytes MiB = Bytes{1} << 20;
inline constexpr Bytes GiB = Bytes{1} << 30;

/// Rounds up to a multiple of `step` (step > 0). REQUIRES: bytes + step does not overflow.
constexpr Bytes round_up(Bytes bytes, Bytes step) { return (bytes + step - 1) / step * step; }

/// Reads "24GiB", "512 MiB", "2GB" (10^9), "1.5GiB" or a plain number of bytes.
/// Throws ConfigError with the text and the accepted forms; the result is positive.
Bytes parse_bytes(std::string_view text);

/// Writes "512 bytes", "1.50 KiB", "20.00 MiB", "3.25 GiB" (two decimals).
std::string format_bytes(Bytes bytes);

}  // namespace mnemo::memory
