// mnemo report: one recording or two become a page; what cannot be one ends with a reason.
#include <string>

#include <doctest/doctest.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/mnemo.h>

#include "program.h"

namespace {

using namespace mnemo;

/// A training step's worth of a recording, at `path`.
void record_blocks(const std::string& path) {
  memory::CachingAllocator allocator(std::make_unique<memory::VirtualSource>(0));
  memory::Recorder recorder = memory::record(allocator, path, {.device = "virtual:test"});
  allocator.free(allocator.malloc(memory::MiB));
  recorder.stop();
}

}  // namespace

TEST_CASE("report writes a page of one recording, or of two") {
  const TemporaryFile recording(""), page("");
  record_blocks(recording.path());
  for (const std::string& files : {recording.path(), recording.path() + " " + recording.path()}) {
    const Answer answer = mnemo_command("report " + files + " --output " + page.path());
    CHECK(answer.code == 0);
    CHECK(answer.out.empty());
    const std::string html = page.read();
    CHECK(html.starts_with("<!doctype html>"));
    CHECK(html.find("\"device\":\"virtual:test\"") != std::string::npos);
    CHECK((html.find("id=\"run-1-kind\"") != std::string::npos) == (files.find(' ') != std::string::npos));
  }
}

TEST_CASE("report says what it cannot read or write") {
  const TemporaryFile recording(""), nonsense("nonsense\n");
  record_blocks(recording.path());
  const Answer unread = mnemo_command("report " + nonsense.path() + " --output /dev/null");
  CHECK(unread.code == 2);
  CHECK(unread.err.find(nonsense.path()) != std::string::npos);
  const Answer unwritten = mnemo_command("report " + recording.path() + " --output /nonexistent/page.html");
  CHECK(unwritten.code == 2);
  CHECK(unwritten.err.find("/nonexistent/page.html: cannot be written") != std::string::npos);
  CHECK(mnemo_command("report " + recording.path()).code == 2);
  CHECK(mnemo_command("report --output /dev/null").code == 2);
}

TEST_CASE("report of two runs says what changed, as diff does") {
  const TemporaryFile first(""), second(""), page("");
  const std::string step = "step conv2d:8,16,k3@4x8x20x20 --device virtual:h200 --record ";
  CHECK(mnemo_command(step + first.path()).code == 0);
  CHECK(mnemo_command(step + second.path() + " --batch 2").code == 0);
  const std::string files = first.path() + " " + second.path();
  CHECK(mnemo_command("report " + files + " --output " + page.path()).code == 0);
  const std::string answer = mnemo_command("diff " + files + " --json").json()["answer"];
  CHECK(answer.size() > 40);
  CHECK(page.read().find(answer.substr(0, 40)) != std::string::npos);
  CHECK(mnemo_command("report " + first.path() + " --output " + page.path()).code == 0);
  CHECK(page.read().find("(4, 16, 18, 18) float32") != std::string::npos);
}
