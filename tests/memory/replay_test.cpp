#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <utility>

#include <mnemo/memory/error.h>
#include <mnemo/memory/replay.h>

namespace mnemo::memory {
namespace {

ReplayResult run(const std::string& text, const std::string& options = "", Bytes capacity = 0) {
  std::istringstream trace(text);
  return replay(trace, "trace.csv", AllocatorConfig::parse(options), capacity);
}

TEST_CASE("a trace is replayed line by line") {
  const ReplayResult result =
      run("# a comment\n"
          "alloc,a,10485761,0\n"
          "\n"
          "  alloc , the second one , 1 , 3  # with a remark\r\n"
          "record_stream,the second one,4\n"
          "free,a\n"
          "free,the second one\n"
          "complete\n"
          "empty_cache\r\n"
          "reset_peak");
  REQUIRE(result.events.size() == 8);
  const std::pair<Bytes, Bytes> expected[] = {{10'486'272, 12'582'912},
                                              {10'486'784, 14'680'064},
                                              {10'486'784, 14'680'064},
                                              {512, 14'680'064},
                                              {0, 14'680'064},
                                              {0, 14'680'064},
                                              {0, 0},
                                              {0, 0}};
  for (std::size_t i = 0; i < 8; ++i) {
    CAPTURE(i);
    CHECK(result.events[i].allocated == expected[i].first);
    CHECK(result.events[i].reserved == expected[i].second);
  }
  CHECK(result.statistics.allocated_bytes.all.peak == 0);
  CHECK(result.statistics.allocated_bytes.all.allocated == 10'486'784);
}

TEST_CASE("an empty trace does nothing") {
  CHECK(run("").events.empty());
  CHECK(run("\n \t\n#\n").events.empty());
}

TEST_CASE("events complete when the trace says so") {
  const std::string head = "alloc,a,20971520,1\nrecord_stream,a,2\nfree,a\n";
  CHECK(run(head + "alloc,b,20971520,1\n").events.back().reserved == 40 * MiB);
  CHECK(run(head + "complete\nalloc,b,20971520,1\n").events.back().reserved == 20 * MiB);
}

TEST_CASE("the options and the capacity are those given") {
  CHECK(run("alloc,a,31457280,0\nalloc,b,26214400,0", "expandable_segments:True", GiB).events.back().reserved ==
        60 * MiB);
  const ReplayResult retry = run("alloc,a,62914560,0\nfree,a\nalloc,b,73400320,0", "", 100 * MiB);
  CHECK(retry.events.back().reserved == 73'400'320);
  CHECK(retry.statistics.num_alloc_retries == 1);
}

TEST_CASE("a failed alloc is counted, and operations on its ID are ignored") {
  const ReplayResult result =
      run("alloc,a,52428800,0\nalloc,b,62914560,0\nrecord_stream,b,1\nfree,b\nalloc,b,512,0\nfree,b\n"
          "alloc,c,1152921504606846976,0\nalloc,d,18446744073709551615,0\nfree,d",
          "", 100 * MiB);
  CHECK(result.statistics.num_ooms == 3);
  CHECK(result.events.size() == 9);
  CHECK(result.events[1].allocated == 50 * MiB);
  CHECK(result.events[4].allocated == 50 * MiB + 512);
  CHECK(result.events.back().allocated == 50 * MiB);
}

TEST_CASE("no bytes are no block, but an ID like any other") {
  const ReplayResult result = run("alloc,a,0,0\nrecord_stream,a,1\nfree,a\nalloc,a,0,0\n");
  CHECK(result.events.back().reserved == 0);
  CHECK_THROWS_AS(run("alloc,a,0,0\nalloc,a,0,0"), FileError);
  CHECK_THROWS_AS(run("alloc,a,0,0\nfree,a\nfree,a"), FileError);
}

TEST_CASE("an ID can be used again once it is freed") {
  CHECK(run("alloc,a,512,0\nfree,a\nalloc,a,1024,0").events.back().allocated == 1024);
}

TEST_CASE("a malformed line is refused with name, line and reason") {
  for (const char* line : {"alloc",
                           "alloc,a,512",
                           "alloc,a,512,0,0",
                           "alloc,a,512,0,",
                           "alloc,,512,0",
                           "alloc,a,,0",
                           "alloc,a,512,",
                           "alloc,a,-1,0",
                           "alloc,a,+1,0",
                           "alloc,a,5x,0",
                           "alloc,a,1.5,0",
                           "alloc,a,0x10,0",
                           "alloc,a,18446744073709551616,0",
                           "alloc,a,512,x",
                           "alloc,a,512,-1",
                           "alloc,a,512,9223372036854775808",
                           "alloc,live,512,0",
                           "free",
                           "free,",
                           "free,x",
                           "free,a,b",
                           "free,gone",
                           "record_stream,live",
                           "record_stream,x,1",
                           "record_stream,gone,1",
                           "record_stream,live,x",
                           "complete,1",
                           "empty_cache,",
                           "reset_peak,a",
                           "Alloc,a,512,0",
                           "malloc,a,512,0",
                           "alloc a 512 0",
                           ","}) {
    CAPTURE(line);
    const std::string text =
        std::string("alloc,live,512,0\n# two\nalloc,gone,1,0\nfree,gone\n") + line + "\nfree,live\n";
    try {
      run(text);
      FAIL_CHECK("not refused");
    } catch (const FileError& error) {
      const std::string what = error.what();
      CHECK(what.rfind("trace.csv:5: ", 0) == 0);
      CHECK(what.size() > std::string("trace.csv:5: ").size());
    }
  }
}

}  // namespace
}  // namespace mnemo::memory
