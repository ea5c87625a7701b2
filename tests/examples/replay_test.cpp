// mnemo replay: traces whose figures are known, and traces that are wrong.
#include <string>

#include <doctest/doctest.h>

#include "program.h"

using nlohmann::json;

namespace {

constexpr std::int64_t kMiB = 1 << 20;

/// A trace with its figures, from the rules of the allocator worked out by hand.
struct Vector {
  const char* trace;
  const char* options;
  std::int64_t allocated, reserved, inactive_split;
};

Answer replay(const std::string& trace, const std::string& options) {
  const TemporaryFile file(trace);
  return mnemo_command("replay " + file.path() + " " + options);
}

}  // namespace

TEST_CASE("traces end with the figures that the rules say") {
  const Vector vectors[] = {
      {"alloc,a,1,0\n", "", 512, 2 * kMiB, 2 * kMiB - 512},
      {"alloc,a,1048576,0\nalloc,b,1048576,0\n", "", 2 * kMiB, 2 * kMiB, 0},
      {"alloc,a,1048577,0\n", "", 1049088, 20971520, 19922432},
      {"alloc,a,19922944,0\n", "", 20 * kMiB, 20 * kMiB, 0},
      {"alloc,a,20971520,0\nfree,a\nalloc,b,19922432,0\n", "", 19922432, 20971520, 1049088},
      {"alloc,a,20971520,1\nfree,a\nalloc,b,20971520,2\n", "", 20 * kMiB, 40 * kMiB, 0},
      {"alloc,a,20971520,1\nrecord_stream,a,2\nfree,a\nalloc,b,20971520,1\n", "", 20 * kMiB, 40 * kMiB, 0},
      {"alloc,a,209715200,0\nfree,a\nalloc,b,52428800,0\n", "--allocator max_split_size_mb:100", 50 * kMiB, 250 * kMiB,
       0},
      {"alloc,a,62914560,0\nfree,a\nalloc,b,73400320,0\n", "--capacity 100MiB", 70 * kMiB, 70 * kMiB, 0},
      {"alloc,a,31457280,0\nalloc,b,26214400,0\n", "--allocator expandable_segments:True", 55 * kMiB, 60 * kMiB, 0},
  };
  for (const Vector& vector : vectors) {
    CAPTURE(vector.trace);
    const Answer answer = replay(vector.trace, std::string(vector.options) + " --json");
    REQUIRE(answer.code == 0);
    const json object = answer.json();
    CHECK(object.size() == 10);
    CHECK(object["allocated"] == vector.allocated);
    CHECK(object["reserved"] == vector.reserved);
    CHECK(object["inactive_split"] == vector.inactive_split);
    for (const char* key : {"active", "requested", "peak_allocated", "peak_reserved", "segments", "retries", "ooms"}) {
      CAPTURE(key);
      CHECK(object[key].is_number_integer());
    }
  }
}

TEST_CASE("replay --events has the totals after every operation") {
  const Answer answer =
      replay("# a comment\nalloc,a,20971520,0  # 20 MiB\n\nfree,a\nempty_cache\nreset_peak\n", "--events --json");
  REQUIRE(answer.code == 0);
  const json object = answer.json(), full{{"allocated", 20 * kMiB}, {"reserved", 20 * kMiB}},
             cached{{"allocated", 0}, {"reserved", 20 * kMiB}}, empty{{"allocated", 0}, {"reserved", 0}};
  CHECK(object["events"] == json::array({full, cached, empty, empty}));
  CHECK(object["peak_reserved"] == 0);
}

TEST_CASE("a failed allocation counts and the trace goes on") {
  const Answer answer =
      replay("alloc,a,62914560,0\nalloc,b,62914560,0\nfree,b\nalloc,c,1,0\n", "--capacity 100MiB --json");
  REQUIRE(answer.code == 3);
  CHECK(answer.json()["ooms"] == 1);
  CHECK(answer.json()["allocated"] == 60 * kMiB + 512);
}

TEST_CASE("a recording that no longer fits is replayed to its end, and exits with 3") {
  const TemporaryFile file("");
  REQUIRE(mnemo_command("step simple-conv --device virtual:cpu --record " + file.path()).code == 0);
  CHECK(mnemo_command("replay " + file.path()).code == 0);
  const Answer answer = mnemo_command("replay " + file.path() + " --capacity 8MiB");
  CHECK(answer.code == 3);
  CHECK(answer.out.find("ooms") != std::string::npos);
  CHECK(answer.err.find(" allocations did not fit") != std::string::npos);
  REQUIRE(mnemo_command("step simple-conv --device virtual:h200 --record " + file.path()).code == 0);
  const Answer context = mnemo_command("replay " + file.path() + " --capacity 100MiB");
  CHECK(context.code == 2);
  CHECK(context.err.find("context alone takes 518.00 MiB") != std::string::npos);
}

TEST_CASE("files in which there are no allocations are refused, whatever they are") {
  const TemporaryFile empty(""), comments("# alloc,a,1,0\n\n"), junk(std::string("\x93\x00\xff\x1b[2J\n", 8));
  for (const std::string& path :
       {std::string("/dev/null"), empty.path(), comments.path(), junk.path(), std::string("/")}) {
    for (const char* verb : {"replay ", "tune-allocator "}) {
      CAPTURE(verb);
      CAPTURE(path);
      const Answer answer = mnemo_command(verb + path);
      CHECK(answer.code == 2);
      CHECK(answer.out == "");
      CHECK(answer.err.starts_with("mnemo: " + path + ": "));
    }
  }
}

TEST_CASE("a trace is also read from standard input, and options from the environment") {
  const TemporaryFile file("alloc,a,31457280,0\n");
  const Answer answer = mnemo_command("replay - --json <" + file.path(), "MNEMO_ALLOC_CONF=expandable_segments:True");
  REQUIRE(answer.code == 0);
  CHECK(answer.json()["reserved"] == 40 * kMiB);
}

TEST_CASE("a malformed line exits with 2 and is named") {
  for (const char* line :
       {"alloc,a,1", "alloc,a,-1,0", "alloc,a,x,0", "free,unknown", "fry,a", "free", "alloc,,1,0", "record_stream,a"}) {
    CAPTURE(line);
    const TemporaryFile file(std::string("# first\n") + line + "\n");
    const Answer answer = mnemo_command("replay " + file.path() + " --json");
    CHECK(answer.code == 2);
    CHECK(answer.out == "");
    CHECK(answer.err.find(file.path() + ":2: ") != std::string::npos);
  }
}
