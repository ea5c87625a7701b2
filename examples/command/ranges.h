// Ranges and lists on the command line, read strictly.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mnemo::command {

/// "32:128" or "32:128:8" as 32, 40, ..., 128; a single number is itself. At most 1000 numbers. Throws UsageError
/// naming the option.
std::vector<std::int64_t> read_range(const char* option, const std::string& text, std::int64_t usual_step);

/// Virtual devices with commas between; "cudnn=9.19.0" belongs to the card before it. Throws UsageError for a device
/// that is not virtual, or is there twice.
std::vector<std::string> read_virtual_devices(const std::string& text);

/// Writes a whole file; throws OutputError.
void write_file(const std::string& path, const std::string& content);

}  // namespace mnemo::command
