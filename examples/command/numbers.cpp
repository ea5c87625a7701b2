#include "command/numbers.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include <mnemo/mnemo.h>

#include "command/command.h"

namespace mnemo::command {

namespace {

template <class T>
std::optional<T> read_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::int64_t read_count(const char* option, std::string_view text) {
  const auto number = read_number<std::int64_t>(text);
  if (!number || *number < 1) {
    throw UsageError(fmt::format("{}: \"{}\" is not a whole number from 1 to 2^63 - 1", option, text));
  }
  return *number;
}

std::vector<std::int64_t> read_counts(const char* option, std::string_view text) {
  std::vector<std::int64_t> numbers;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    numbers.push_back(read_count(option, text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return numbers;
}

std::uint64_t read_seed(const char* option, std::string_view text) {
  const auto number = read_number<std::uint64_t>(text);
  if (!number) throw UsageError(fmt::format("{}: \"{}\" is not a whole number from 0 to 2^64 - 1", option, text));
  return *number;
}

double read_rate(const char* option, std::string_view text) {
  const auto number = read_number<double>(text);
  if (!number || !(*number >= 0 && *number <= optim::Optimizer::kMostRate))
    throw UsageError(fmt::format("{}: \"{}\" is not a number from 0, such as 0.1 or 3e-4", option, text));
  return *number;
}

std::string grouped(std::int64_t number) {
  std::string text = fmt::format("{}", number);
  const std::size_t sign = number < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > sign + 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string mebibytes(std::int64_t bytes) { return fmt::format("{:.2f}", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace mnemo::command
