// mnemo export and mnemo import: a recording out to each format, and back from a snapshot.
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include <mnemo/memory/allocator.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>

#include "program.h"
#include "temporary_folder.h"

namespace {

using namespace mnemo::memory;

/// A short recording, as a file.
void record_to(const std::string& path) {
  CachingAllocator allocator(std::make_unique<VirtualSource>(0), {}, "virtual");
  Recorder recorder = record(allocator, path);
  const OpScope op("conv2d");
  allocator.free(allocator.malloc(3 * MiB));
  allocator.free(allocator.malloc(100));
  recorder.stop();
}

struct Recorded {
  Recorded() { record_to(path); }
  TemporaryFolder folder = {};
  std::string path = folder / "recording";
};

}  // namespace

TEST_CASE("export writes each format to standard output or to a file") {
  const Recorded file;
  const auto out = [&](const std::string& format) {
    return mnemo_command("export " + file.path + " --format " + format);
  };
  CHECK(out("memory-viz").out.substr(0, 2) == "\x80\x02");
  CHECK(out("memory-viz-json").json().contains("device_traces"));
  CHECK(out("chrome-trace").json().contains("traceEvents"));
  CHECK(out("csv").out.substr(0, 11) == "event,time,");
  CHECK(out("blocks-csv").out.substr(0, 16) == "allocated_event,");
  CHECK(out("collapsed").out == "forward;conv2d 3145728\n");
  const TemporaryFile written("");
  CHECK(mnemo_command("export " + file.path + " --format collapsed --output " + written.path()).code == 0);
  CHECK(written.read() == "forward;conv2d 3145728\n");
}

TEST_CASE("export refuses an unknown format, no recording and a place that cannot be written") {
  const Recorded file;
  const Answer format = mnemo_command("export " + file.path + " --format chrome");
  CHECK(format.code == 2);
  CHECK(format.err.find("\"chrome\" is not one of blocks-csv, chrome-trace") != std::string::npos);
  CHECK(mnemo_command("export /nonexistent --format csv").code == 2);
  CHECK(mnemo_command("export " + file.path + " --format csv --output /nonexistent/file").code == 1);
}

TEST_CASE("import makes a recording of what export wrote, and sums it up") {
  const Recorded file;
  for (const char* format : {"memory-viz", "memory-viz-json"}) {
    const TemporaryFile snapshot("");
    const TemporaryFile recording("");
    REQUIRE(mnemo_command("export " + file.path + " --format " + format + " -o " + snapshot.path()).code == 0);
    const Answer answer = mnemo_command("import " + snapshot.path() + " --output " + recording.path() + " --json");
    REQUIRE(answer.code == 0);
    const auto object = answer.json();
    CHECK(object["peak_allocated"] == 3 * MiB);
    CHECK(object["peak_reserved"] == 22 * MiB);
    CHECK(object["contradictions"] == 0);
    CHECK(object["largest"][0]["op"] == "conv2d");
    CHECK(Recording::read(recording.path()).peak().bytes == 3 * MiB);
    const Answer text = mnemo_command("import " + snapshot.path() + " --output " + recording.path());
    CHECK(text.code == 0);
    CHECK(text.out.find("3.00 MiB") != std::string::npos);
    CHECK(text.out.find("conv2d") != std::string::npos);
    CHECK(mnemo_command("import " + snapshot.path() + " --device-index 3 -o " + recording.path()).code == 2);
    CHECK(mnemo_command("import " + snapshot.path() + " -o " + snapshot.path()).code == 2);
  }
}

TEST_CASE("import refuses what could do harm") {
  const TemporaryFile snapshot(
      "\x80\x02"
      "cos\nsystem\n.");
  const TemporaryFile recording("untouched");
  const Answer answer = mnemo_command("import " + snapshot.path() + " --output " + recording.path());
  CHECK(answer.code == 2);
  CHECK(answer.err.find("GLOBAL") != std::string::npos);
  CHECK(recording.read() == "untouched");
}
