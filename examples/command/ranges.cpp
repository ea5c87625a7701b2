#include "command/ranges.h"

#include <algorithm>
#include <fstream>
#include <string_view>

#include <fmt/format.h>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/numbers.h"
#include "command/output.h"

namespace mnemo::command {

namespace {

constexpr std::int64_t kMostNumbers = 1000;

}  // namespace

std::vector<std::int64_t> read_range(const char* option, const std::string& text, std::int64_t usual_step) {
  std::vector<std::int64_t> numbers;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(':', begin), text.size());
    numbers.push_back(read_count(option, std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  if (numbers.size() > 3) {
    throw UsageError(fmt::format("{}: \"{}\" is not a range A:B or A:B:STEP, such as 32:128:8", option, text));
  }
  const std::int64_t first = numbers[0], last = numbers.size() > 1 ? numbers[1] : first;
  const std::int64_t step = numbers.size() == 3 ? numbers[2] : usual_step;
  if (first > last) throw UsageError(fmt::format("{}: \"{}\" has its larger end first", option, text));
  const std::int64_t count = (last - first) / step + 1;
  if (count > kMostNumbers)
    throw UsageError(fmt::format("{}: \"{}\" is {} numbers, the most is {}", option, text, count, kMostNumbers));
  std::vector<std::int64_t> range;
  for (std::int64_t i = 0; i < count; ++i) range.push_back(first + i * step);
  return range;
}

std::vector<std::string> read_virtual_devices(const std::string& text) {
  std::vector<std::string> devices;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    // A size or a cuDNN says more about the device before it.
    const bool more = part.starts_with("cudnn=") || (!part.empty() && part.front() >= '0' && part.front() <= '9');
    if (more && !devices.empty())
      devices.back() += ',' + part;
    else
      devices.push_back(part);
    begin = end + 1;
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (!devices[i].starts_with("virtual:"))
      throw UsageError(fmt::format("--device: \"{}\" is not a virtual device such as virtual:h200", devices[i]));
    if (std::find(devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(i), devices[i]) !=
        devices.begin() + static_cast<std::ptrdiff_t>(i))
      throw UsageError(fmt::format("--device: {} is given twice", devices[i]));
  }
  return devices;
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  if (!file.flush()) throw OutputError(fmt::format("{}: cannot be written", path));
}

}  // namespace mnemo::command
