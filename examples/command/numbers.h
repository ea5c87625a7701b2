// Numbers on the command line, read strictly: no sign, no other base, nothing behind them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mnemo::command {

/// A whole number from 1; throws UsageError naming the option.
std::int64_t read_count(const char* option, std::string_view text);
/// Several of them with commas between.
std::vector<std::int64_t> read_counts(const char* option, std::string_view text);
/// A whole number from 0 to 2^64 - 1.
std::uint64_t read_seed(const char* option, std::string_view text);
/// A number from 0, such as 0.1 or 3e-4.
double read_rate(const char* option, std::string_view text);

/// 11689512 as "11,689,512".
std::string grouped(std::int64_t number);
/// Bytes in MiB with two decimals, without the unit.
std::string mebibytes(std::int64_t bytes);

}  // namespace mnemo::command
