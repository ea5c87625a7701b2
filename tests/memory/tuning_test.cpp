// Tuning: traces whose best configuration is worked out on paper, and searches that are not monotone.
#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <mnemo/memory/config.h>
#include <mnemo/memory/tuning.h>

namespace mnemo::memory {
namespace {

CallTrace calls(const std::string& text) {
  std::istringstream stream(text);
  return read_calls(stream, "trace");
}

std::string alloc(const std::string& id, Bytes bytes) { return fmt::format("alloc,{},{},0\n", id, bytes); }
std::string free(const std::string& id) { return fmt::format("free,{}\n", id); }

const TunedConfig& config_of(const Tuning& tuning, const std::string& text) {
  const auto found =
      std::find_if(tuning.configs.begin(), tuning.configs.end(), [&](const auto& one) { return one.text == text; });
  REQUIRE(found != tuning.configs.end());
  return *found;
}

/// Sizes that grow by a little: each needs a segment of its own, while what is free cannot be used.
/// By hand: 40 MiB, then 44, 48, ... 80 MiB, each freed before the next one comes.
std::string growing() {
  std::string text;
  for (Bytes size = 40; size <= 80; size += 4) text += alloc("a", size * MiB) + free("a");
  return text;
}

TEST_CASE("growing blocks want expandable segments") {
  // The defaults keep 40 + 44 + ... + 80 MiB = 11 * 60 MiB; a growing segment keeps 80 MiB.
  const Tuning tuning = tune(calls(growing()));
  CHECK(tuning.defaults().peak_reserved == 660 * MiB);
  CHECK(tuning.defaults().peak_allocated == 80 * MiB);
  CHECK(tuning.defaults().unused() == 580 * MiB);
  // Ten free segments, of which the largest has 76 of 580 MiB.
  CHECK(tuning.defaults().fragmentation == doctest::Approx(1 - 76.0 / 580));
  CHECK(tuning.defaults().device_calls == 11);
  const TunedConfig expandable = config_of(tuning, "expandable_segments:True");
  CHECK(expandable.peak_reserved == 80 * MiB);
  CHECK(expandable.fragmentation == 0);
  // 40 MiB are two pages, then one more for 44, 64 and the like: at 60 MiB three pages end.
  CHECK(expandable.device_calls == 3);
  CHECK(tuning.recommended().peak_reserved == 80 * MiB);
  CHECK(tuning.recommended().text.find("expandable_segments:True") == 0);
  CHECK(tuning.answer.find("expandable_segments:True") == 0);
  // By emptying its cache the default runs on what its largest block needs.
  CHECK(tuning.defaults().smallest == 80 * MiB);
  CHECK(tuning.defaults().smallest_exact);
}

TEST_CASE("blocks that leave nothing unused want the defaults") {
  const Tuning tuning = tune(calls(alloc("a", 64 * MiB) + alloc("b", 2 * MiB * 10) + free("a") + alloc("c", 64 * MiB)));
  CHECK(tuning.defaults().peak_reserved == 84 * MiB);
  CHECK(tuning.recommended().text == "");
  CHECK(tuning.answer.find("The defaults are best") == 0);
  CHECK(tune(calls("")).recommended().text == "");
}

TEST_CASE("a small block in a large segment wants a limit to splitting") {
  // 100 MiB are freed, 2 MiB of them taken, and 100 MiB wanted again: with splitting there is no such block any more.
  // Without, the 2 MiB get a segment of 20 MiB for blocks of their size.
  const std::string text = alloc("a", 100 * MiB) + free("a") + alloc("b", 2 * MiB) + alloc("c", 100 * MiB);
  const Tuning tuning = tune(calls(text));
  CHECK(tuning.defaults().peak_reserved == 200 * MiB);
  CHECK(config_of(tuning, "max_split_size_mb:64").peak_reserved == 120 * MiB);
  // Better still are pages of 12 MiB: nine for the first block, and nothing is missing later.
  CHECK(tuning.recommended().text == "expandable_segments:True,large_segment_size_mb:12");
  CHECK(tuning.recommended().peak_reserved == 108 * MiB);
}

TEST_CASE("on a device of a given size what fits comes first, then what does so without waiting") {
  const Tuning tuning = tune(calls(growing()), {.memory = 100 * MiB});
  REQUIRE(tuning.defaults().limited);
  CHECK(tuning.defaults().limited->fits);
  // 40 + 44 fit; 48 does not, then 52 does (48 + 52), and from 56 on each one finds the device full.
  CHECK(tuning.defaults().limited->retries == 8);
  CHECK(tuning.recommended().limited->retries == 0);
  CHECK(tuning.recommended().text.find("expandable_segments:True") == 0);
  const Tuning never = tune(calls(growing()), {.memory = 60 * MiB});
  CHECK(!never.recommended().limited->fits);
  CHECK(never.answer.find("fail") != std::string::npos);
  const Tuning context = tune(calls(growing()), {.memory = 100 * MiB, .context = 10 * MiB});
  CHECK(context.defaults().smallest == 90 * MiB);
}

// The sum of "needs more than any device" and a hundredth of it had overflowed, and no configuration was left.
TEST_CASE("where a request fails on every device the defaults are recommended, and it is said to") {
  const Tuning tuning = tune(calls(alloc("a", Bytes{1} << 60)), {.memory = GiB});
  CHECK(tuning.recommended().text == "");
  CHECK(tuning.recommended().failures == 1);
  CHECK_FALSE(tuning.recommended().smallest);
  CHECK(tuning.recommended().limited->failures == 1);
  CHECK(tuning.answer.find("A request fails on any device. In 1.00 GiB 1 requests fail.") != std::string::npos);
}

// A device with a share of it had less than no bytes.
TEST_CASE("devices of more than 2^60 bytes are not searched for") {
  std::string eight;
  for (int i = 0; i < 8; ++i) eight += alloc(std::to_string(i), (Bytes{1} << 60) - (Bytes{1} << 54));
  const Tuning tuning = tune(calls(eight), {.memory = GiB});
  for (const TunedConfig& config : tuning.configs) {
    CAPTURE(config.text);
    CHECK_FALSE(config.smallest);
  }
  CHECK(tuning.answer.find("No device of up to 1048576.00 TiB was found on which it runs.") != std::string::npos);
}

TEST_CASE("a threshold is found though what runs is not monotone") {
  std::vector<Bytes> asked;
  const auto runs = [&](Bytes bytes) {
    asked.push_back(bytes);
    return bytes >= 60 || (bytes >= 20 && bytes <= 30);
  };
  const Threshold all = find_threshold(0, 100, 2, 50, runs);
  CHECK(all.at == 60);
  CHECK(all.exact);
  CHECK(all.below == 20);
  CHECK(asked.size() == 49);  // the top is known
  asked.clear();
  const Threshold some = find_threshold(0, 100'000, 2, 40, [&](Bytes bytes) {
    asked.push_back(bytes);
    return bytes >= 60'000;
  });
  CHECK(some.at == 60'000);
  CHECK(!some.exact);
  CHECK(!some.below);
  CHECK(asked.size() <= 60);
}

TEST_CASE("texts of divisions are read back as what they say") {
  std::array<int, 16> table{};
  for (int round = 0; round < 200; ++round) {
    for (std::size_t i = 0; i < 16; ++i) {
      const int dice = (round * 7 + static_cast<int>(i * i) * (round % 5 + 1)) % 6;
      table[i] = dice < 3 ? 0 : 1 << dice;
    }
    if (round % 3 == 0) table[0] = table[1] = 0;
    const std::string text = divisions_text(table);
    CAPTURE(text);
    CHECK(AllocatorConfig::parse("roundup_power2_divisions:" + text).roundup_power2_divisions == table);
  }
  CHECK(divisions_text({}) == "0");
}

}  // namespace
}  // namespace mnemo::memory
