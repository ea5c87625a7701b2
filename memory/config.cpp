#include <mnemo/memory/config.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

[[noreturn]] void refuse(std::string_view key, std::string_view value, std::string_view allowed) {
  throw ConfigError(fmt::format("allocator option {}: '{}' is not allowed, it must be {}", key, value, allowed));
}

template <class T>
std::optional<T> read_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Bytes read_mib(std::string_view key, std::string_view value, Bytes least) {
  constexpr Bytes kMost = (Bytes{1} << 60) / MiB;
  const auto number = read_number<Bytes>(value);
  if (!number || *number < least || *number > kMost) {
    refuse(key, value, fmt::format("a whole number of MiB, at least {}", least));
  }
  return *number * MiB;
}

double read_share(std::string_view key, std::string_view value) {
  const auto number = read_number<double>(value);
  if (!number) refuse(key, value, "a number such as 0.8");
  return *number;
}

bool read_flag(std::string_view key, std::string_view value) {
  if (value == "True" || value == "true") return true;
  if (value == "False" || value == "false") return false;
  refuse(key, value, "True or False");
}

constexpr std::string_view kDivisions = "roundup_power2_divisions";

int read_divisions(std::string_view value) {
  const auto number = read_number<int>(value);
  if (!number || *number < 0 || (*number > 0 && !std::has_single_bit(static_cast<unsigned>(*number)))) {
    refuse(kDivisions, value, "0 or a power of two, or a list such as [64:8,128:4,>:1]");
  }
  return *number;
}

/// "[64:8,128:4,>:1]": a key is a power of two in MiB and names one entry; the first key's value also fills
/// the entries below it, `>` fills those above the last key.
std::array<int, 16> read_division_list(std::string_view list) {
  std::array<int, 16> table{};
  std::ptrdiff_t above_last = 0;
  bool first = true;
  std::string_view rest = list.substr(1, list.size() - 2);
  do {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view item = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const std::size_t colon = item.find(':');
    if (colon == std::string_view::npos) refuse(kDivisions, list, "a list of MiB:divisions such as [64:8,128:4,>:1]");
    const std::string_view key = item.substr(0, colon);
    const int divisions = read_divisions(item.substr(colon + 1));
    if (key == ">") {
      std::fill(table.begin() + above_last, table.end(), divisions);
      continue;
    }
    const auto mib = read_number<std::uint64_t>(key);
    if (!mib || !std::has_single_bit(*mib))
      refuse(kDivisions, list, "a list whose keys are powers of two in MiB, or >");
    const std::ptrdiff_t index = std::min(std::countr_zero(*mib), 15);
    if (first) std::fill(table.begin(), table.begin() + index, divisions);
    table[static_cast<std::size_t>(index)] = divisions;
    above_last = index + 1;
    first = false;
  } while (!rest.empty());
  return table;
}

/// Cuts at commas outside of brackets.
std::vector<std::string_view> items(std::string_view text) {
  std::vector<std::string_view> found;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[') ++depth;
    if (text[i] == ']') --depth;
    if (text[i] == ',' && depth == 0) {
      found.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  if (begin < text.size()) found.push_back(text.substr(begin));
  return found;
}

}  // namespace

AllocatorConfig AllocatorConfig::parse(std::string_view text) {
  std::string compact(text);
  std::erase_if(compact, [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; });

  AllocatorConfig config;
  std::optional<Bytes> rounding;
  for (const std::string_view item : items(compact)) {
    const std::size_t colon = item.find(':');
    if (colon == std::string_view::npos) {
      throw ConfigError(fmt::format("allocator options: '{}' is not of the form key:value", item));
    }
    const std::string_view key = item.substr(0, colon);
    const std::string_view value = item.substr(colon + 1);
    if (key == "max_split_size_mb") {
      config.max_split_size = read_mib(key, value, 20);
    } else if (key == "large_segment_size_mb") {
      config.large_segment_size = read_mib(key, value, 11);
    } else if (key == "max_non_split_rounding_mb") {
      rounding = read_mib(key, value, 0);
    } else if (key == "garbage_collection_threshold") {
      config.garbage_collection_threshold = read_share(key, value);
      if (config.garbage_collection_threshold == 0) refuse(key, value, "above 0 and below 1");
    } else if (key == "per_process_memory_fraction") {
      config.memory_fraction = read_share(key, value);
    } else if (key == kDivisions) {
      if (value.size() >= 2 && value.front() == '[' && value.back() == ']') {
        config.roundup_power2_divisions = read_division_list(value);
      } else {
        config.roundup_power2_divisions.fill(read_divisions(value));
      }
    } else if (key == "expandable_segments") {
      config.expandable_segments = read_flag(key, value);
    } else {
      throw ConfigError(
          fmt::format("allocator options: unknown key '{}'; known are max_split_size_mb, large_segment_size_mb, "
                      "max_non_split_rounding_mb, garbage_collection_threshold, per_process_memory_fraction, "
                      "roundup_power2_divisions, expandable_segments",
                      key));
    }
  }
  config.max_non_split_rounding = rounding.value_or(config.large_segment_size);
  config.check();
  return config;
}

AllocatorConfig AllocatorConfig::from_environment() {
  const char* text = std::getenv("MNEMO_ALLOC_CONF");
  return text == nullptr ? AllocatorConfig{} : parse(text);
}

void AllocatorConfig::check() const {
  const auto check_mib = [](std::string_view key, Bytes bytes, Bytes least) {
    if (bytes < least * MiB || bytes % MiB != 0) {
      refuse(key, fmt::format("{} bytes", bytes), fmt::format("a whole number of MiB, at least {}", least));
    }
  };
  if (max_split_size != kUnlimited) check_mib("max_split_size", max_split_size, 20);
  check_mib("large_segment_size", large_segment_size, 11);
  check_mib("max_non_split_rounding", max_non_split_rounding, 0);
  if (!(garbage_collection_threshold >= 0 && garbage_collection_threshold < 1)) {
    refuse("garbage_collection_threshold", fmt::format("{}", garbage_collection_threshold), "above 0 and below 1");
  }
  if (!(memory_fraction >= 0 && memory_fraction <= 1)) {
    refuse("per_process_memory_fraction", fmt::format("{}", memory_fraction), "from 0 to 1");
  }
  for (const int divisions : roundup_power2_divisions) {
    if (divisions < 0 || (divisions > 0 && !std::has_single_bit(static_cast<unsigned>(divisions)))) {
      refuse(kDivisions, fmt::format("{}", divisions), "0 or a power of two");
    }
  }
}

std::string AllocatorConfig::text() const {
  std::vector<std::string> parts;
  if (max_split_size != kUnlimited) parts.push_back(fmt::format("max_split_size_mb:{}", max_split_size / MiB));
  if (large_segment_size != AllocatorConfig{}.large_segment_size) {
    parts.push_back(fmt::format("large_segment_size_mb:{}", large_segment_size / MiB));
  }
  if (max_non_split_rounding != large_segment_size) {
    parts.push_back(fmt::format("max_non_split_rounding_mb:{}", max_non_split_rounding / MiB));
  }
  if (garbage_collection_threshold > 0) {
    parts.push_back(fmt::format("garbage_collection_threshold:{}", garbage_collection_threshold));
  }
  if (memory_fraction < 1) parts.push_back(fmt::format("per_process_memory_fraction:{}", memory_fraction));
  if (roundup_power2_divisions != AllocatorConfig{}.roundup_power2_divisions) {
    std::vector<std::string> entries;
    for (std::size_t i = 0; i < roundup_power2_divisions.size(); ++i) {
      entries.push_back(fmt::format("{}:{}", std::uint64_t{1} << i, roundup_power2_divisions[i]));
    }
    parts.push_back(fmt::format("roundup_power2_divisions:[{}]", fmt::join(entries, ",")));
  }
  if (expandable_segments) parts.push_back("expandable_segments:True");
  return fmt::format("{}", fmt::join(parts, ","));
}

}  // namespace mnemo::memory
