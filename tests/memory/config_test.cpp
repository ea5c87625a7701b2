#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <initializer_list>
#include <string>

#include <mnemo/memory/allocator.h>
#include <mnemo/memory/config.h>
#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

using Divisions = std::array<int, 16>;

Divisions divisions(const char* text) {
  return AllocatorConfig::parse(std::string("roundup_power2_divisions:") + text).roundup_power2_divisions;
}

TEST_CASE("an empty text gives the defaults") {
  const AllocatorConfig config = AllocatorConfig::parse("");
  CHECK(config.max_split_size == AllocatorConfig::kUnlimited);
  CHECK(config.large_segment_size == 20 * MiB);
  CHECK(config.max_non_split_rounding == 20 * MiB);
  CHECK(config.garbage_collection_threshold == 0);
  CHECK(config.memory_fraction == 1);
  CHECK(config.roundup_power2_divisions == Divisions{});
  CHECK(!config.expandable_segments);
  CHECK(config.text().empty());
}

TEST_CASE("every key is read, with blanks anywhere") {
  const AllocatorConfig config = AllocatorConfig::parse(
      " max_split_size_mb : 128, large_segment_size_mb:40 ,garbage_collection_threshold:0.8,\t"
      "per_process_memory_fraction:0.5, max_non_split_rounding_mb:24, roundup_power2_divisions: "
      "4,expandable_segments:True,");
  CHECK(config.max_split_size == 128 * MiB);
  CHECK(config.large_segment_size == 40 * MiB);
  CHECK(config.max_non_split_rounding == 24 * MiB);
  CHECK(config.garbage_collection_threshold == 0.8);
  CHECK(config.memory_fraction == 0.5);
  CHECK(config.roundup_power2_divisions == Divisions{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4});
  CHECK(config.expandable_segments);
}

TEST_CASE("the large segment size is also the default of the non-split rounding, in either order") {
  CHECK(AllocatorConfig::parse("large_segment_size_mb:40").max_non_split_rounding == 40 * MiB);
  CHECK(AllocatorConfig::parse("max_non_split_rounding_mb:7,large_segment_size_mb:40").max_non_split_rounding ==
        7 * MiB);
}

TEST_CASE("a list of divisions fills below its first key and, with >, above its last") {
  CHECK(divisions("[64:8,128:4,>:1]") == Divisions{8, 8, 8, 8, 8, 8, 8, 4, 1, 1, 1, 1, 1, 1, 1, 1});
  CHECK(divisions("[256:2]") == Divisions{2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0});
  CHECK(divisions("[1:2,8:4]") == Divisions{2, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(divisions("[65536:2]") == Divisions{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2});
  CHECK(divisions("[>:16]") == Divisions{16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16});
  CHECK(divisions("0") == Divisions{});
}

TEST_CASE("what is not allowed is refused, naming the key, the value and what is allowed") {
  for (const char* text : {"max_split_size_mb",
                           "max_split_size_mb:",
                           "max_split_size_mb:19",
                           "max_split_size_mb:-1",
                           "max_split_size_mb:20.5",
                           "max_split_size_mb:9223372036854775807",
                           "large_segment_size_mb:10",
                           "max_non_split_rounding_mb:-1",
                           "garbage_collection_threshold:0",
                           "garbage_collection_threshold:1",
                           "garbage_collection_threshold:1.5",
                           "garbage_collection_threshold:nan",
                           "per_process_memory_fraction:1.1",
                           "per_process_memory_fraction:-0.1",
                           "per_process_memory_fraction:x",
                           "roundup_power2_divisions:3",
                           "roundup_power2_divisions:-2",
                           "roundup_power2_divisions:[64:3]",
                           "roundup_power2_divisions:[63:2]",
                           "roundup_power2_divisions:[0:2]",
                           "roundup_power2_divisions:[]",
                           "roundup_power2_divisions:[64]",
                           "roundup_power2_divisions:[64:2",
                           "expandable_segments:yes",
                           "expandable_segments:1",
                           "no_such_key:1",
                           "backend:native",
                           "a,b",
                           ",",
                           ",,"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(AllocatorConfig::parse(text), ConfigError);
  }
  try {
    AllocatorConfig::parse("max_split_size_mb:19");
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    CHECK(text.find("max_split_size_mb") != std::string::npos);
    CHECK(text.find("'19'") != std::string::npos);
    CHECK(text.find("at least 20") != std::string::npos);
  }
  try {
    AllocatorConfig::parse("max_splt_size_mb:20");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("max_split_size_mb") != std::string::npos);  // the known keys are listed
  }
}

TEST_CASE("the edges of what is allowed") {
  CHECK(AllocatorConfig::parse("max_split_size_mb:20").max_split_size == 20 * MiB);
  CHECK(AllocatorConfig::parse("large_segment_size_mb:11").large_segment_size == 11 * MiB);
  CHECK(AllocatorConfig::parse("per_process_memory_fraction:0").memory_fraction == 0);
  CHECK(AllocatorConfig::parse("per_process_memory_fraction:1").memory_fraction == 1);
  CHECK(!AllocatorConfig::parse("expandable_segments:False").expandable_segments);
}

TEST_CASE("the text of a configuration reads back as the same configuration") {
  for (const char* text :
       {"", "max_split_size_mb:128", "large_segment_size_mb:40",
        "large_segment_size_mb:40,max_non_split_rounding_mb:20",
        "garbage_collection_threshold:0.8,per_process_memory_fraction:0.123456789012345",
        "roundup_power2_divisions:[64:8,128:4,>:1],expandable_segments:True", "roundup_power2_divisions:16"}) {
    CAPTURE(text);
    const AllocatorConfig config = AllocatorConfig::parse(text);
    const AllocatorConfig again = AllocatorConfig::parse(config.text());
    CHECK(again.max_split_size == config.max_split_size);
    CHECK(again.large_segment_size == config.large_segment_size);
    CHECK(again.max_non_split_rounding == config.max_non_split_rounding);
    CHECK(again.garbage_collection_threshold == config.garbage_collection_threshold);
    CHECK(again.memory_fraction == config.memory_fraction);
    CHECK(again.roundup_power2_divisions == config.roundup_power2_divisions);
    CHECK(again.expandable_segments == config.expandable_segments);
  }
}

TEST_CASE("options come from the environment") {
  setenv("MNEMO_ALLOC_CONF", "max_split_size_mb:64", 1);
  CHECK(AllocatorConfig::from_environment().max_split_size == 64 * MiB);
  setenv("MNEMO_ALLOC_CONF", "max_split_size_mb:none", 1);
  CHECK_THROWS_AS(AllocatorConfig::from_environment(), ConfigError);
  unsetenv("MNEMO_ALLOC_CONF");
  CHECK(AllocatorConfig::from_environment().max_split_size == AllocatorConfig::kUnlimited);
}

TEST_CASE("an allocator refuses options that no text could give, and keeps what it had") {
  AllocatorConfig config;
  config.max_split_size = 512;
  CHECK_THROWS_AS(CachingAllocator(std::make_unique<VirtualSource>(), config), ConfigError);
  CachingAllocator allocator(std::make_unique<VirtualSource>());
  CHECK_THROWS_AS(allocator.configure(config), ConfigError);
  CHECK(allocator.config().max_split_size == AllocatorConfig::kUnlimited);
}

}  // namespace
}  // namespace mnemo::memory
