// Calls that were made of PyTorch's own allocator (fixtures/make.py), made of mnemo's: allocated and reserved are the
// same after each of them.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/replay.h>

namespace mnemo::memory {
namespace {

using Totals = ReplayResult::Totals;

/// What PyTorch said: in the head, after each call, and at the end.
struct Calls {
  std::string text, options;
  Bytes capacity = 0;
  std::vector<Totals> totals;
  Bytes retries = 0, ooms = 0, segments = 0, inactive_split = 0;
};

Calls read(const std::filesystem::path& path) {
  Calls calls;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    calls.text += line + '\n';
    std::istringstream comment(line.substr(line.find('#') + 1));
    if (line[0] != '#') {
      Totals& totals = calls.totals.emplace_back();
      comment >> totals.allocated >> totals.reserved;
      REQUIRE(comment);
      continue;
    }
    std::string word;
    comment >> word;
    if (word == "options") comment >> calls.options;
    if (word == "capacity") comment >> calls.capacity;
    if (word == "retries")
      comment >> calls.retries >> word >> calls.ooms >> word >> calls.segments >> word >> calls.inactive_split;
  }
  return calls;
}

TEST_CASE("calls made of PyTorch's allocator have the same effect on mnemo's") {
  const std::filesystem::path fixtures = MNEMO_TORCH_CALLS;
  int files = 0;
  Bytes retries = 0, ooms = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures)) {
    if (entry.path().extension() != ".csv") continue;
    CAPTURE(entry.path().filename().string());
    const Calls calls = read(entry.path());
    std::istringstream text(calls.text);
    const ReplayResult result = replay(text, "calls", AllocatorConfig::parse(calls.options), calls.capacity);
    REQUIRE(result.events.size() == calls.totals.size());
    for (std::size_t i = 0; i < calls.totals.size(); ++i) {
      CAPTURE(i);
      REQUIRE(result.events[i].allocated == calls.totals[i].allocated);
      REQUIRE(result.events[i].reserved == calls.totals[i].reserved);
    }
    CHECK(result.statistics.num_alloc_retries == calls.retries);
    CHECK(result.statistics.num_ooms == calls.ooms);
    CHECK(result.statistics.segment.all.current == calls.segments);
    CHECK(result.statistics.inactive_split_bytes.all.current == calls.inactive_split);
    ++files;
    retries += calls.retries;
    ooms += calls.ooms;
  }
  CHECK(files >= 12);
  CHECK(retries > 50);
  CHECK(ooms > 20);
}

}  // namespace
}  // namespace mnemo::memory
