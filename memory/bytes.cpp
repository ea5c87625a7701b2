#include <mnemo/memory/bytes.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

struct Unit {
  std::string_view name;  // in lower case
  Bytes bytes;
};

constexpr std::array<Unit, 11> kUnits{{{"", 1},
                                       {"b", 1},
                                       {"bytes", 1},
                                       {"kib", KiB},
                                       {"mib", MiB},
                                       {"gib", GiB},
                                       {"tib", GiB * 1024},
                                       {"kb", 1'000},
                                       {"mb", 1'000'000},
                                       {"gb", 1'000'000'000},
                                       {"tb", 1'000'000'000'000}}};

[[noreturn]] void refuse(std::string_view text) {
  throw ConfigError(fmt::format(
      "'{}' is not a size: write a positive number of bytes, or a number with a unit, such as 24GiB, 1.5GiB, "
      "512 MiB or 2GB (GiB = 2^30 bytes, GB = 10^9 bytes)",
      text));
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

Bytes parse_bytes(std::string_view text) {
  const std::string_view trimmed = trim(text);
  const std::size_t digits = std::min(trimmed.find_first_not_of("0123456789."), trimmed.size());
  const std::string_view number = trimmed.substr(0, digits);
  std::string unit_name(trim(trimmed.substr(digits)));
  for (char& c : unit_name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == unit_name; });
  if (number.empty() || unit == kUnits.end()) refuse(text);

  // Whole numbers are read exactly; a double would lose the last digits of a large count.
  Bytes bytes = 0;
  if (number.find('.') == std::string_view::npos) {
    Bytes count = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), count);
    if (error != std::errc{} || end != number.data() + number.size()) refuse(text);
    if (count > std::numeric_limits<Bytes>::max() / unit->bytes) refuse(text);
    bytes = count * unit->bytes;
  } else {
    double count = 0;
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), count, std::chars_format::fixed);
    if (error != std::errc{} || end != number.data() + number.size()) refuse(text);
    const double product = count * static_cast<double>(unit->bytes);
    if (!(product < 9.2e18)) refuse(text);
    bytes = static_cast<Bytes>(product);
  }
  if (bytes <= 0) refuse(text);
  return bytes;
}

std::string format_bytes(Bytes bytes) {
  const double value = static_cast<double>(bytes);
  const double magnitude = value < 0 ? -value : value;
  if (magnitude < static_cast<double>(KiB)) return fmt::format("{} {}", bytes, bytes == 1 ? "byte" : "bytes");
  if (magnitude < static_cast<double>(MiB)) return fmt::format("{:.2f} KiB", value / static_cast<double>(KiB));
  if (magnitude < static_cast<double>(GiB)) return fmt::format("{:.2f} MiB", value / static_cast<double>(MiB));
  constexpr double tebibyte = 1024.0 * static_cast<double>(GiB);
  if (magnitude < tebibyte) return fmt::format("{:.2f} GiB", value / static_cast<double>(GiB));
  return fmt::format("{:.2f} TiB", value / tebibyte);
}

}  // namespace mnemo::memory
