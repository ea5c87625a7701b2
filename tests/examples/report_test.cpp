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
  CHECK(unwritten.code == 1);
  CHECK(unwritten.err.find("--output: /nonexistent/page.html cannot be written") != std::string::npos);
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

TEST_CASE("step, explain, diff and sweep write the page of what they ran") {
  const TemporaryFile page("");
  const std::string layer = "conv2d:8,16,k3@4x8x20x20 --device virtual:h200";
  const auto data = [&page](const std::string& arguments, int code = 0) {
    const Answer answer = mnemo_command(arguments + " --report " + page.path());
    CHECK(answer.code == code);
    const std::string html = page.read();
    const std::string head = R"(<script type="application/json" id="data">)";
    const std::size_t begin = html.find(head) + head.size();
    return nlohmann::json::parse(html.substr(begin, html.find("</script>", begin) - begin));
  };
  // The layers of a page of one run add up to its peak, which is that of --json.
  const auto check_one = [&](const nlohmann::json& run, const nlohmann::json& peak) {
    CHECK(run["peak"]["bytes"] == peak);
    std::int64_t sum = 0;
    for (const auto& row : run["layers"]["rows"]) {
      std::string digits;
      for (const char c : row[8].get<std::string>()) digits += c >= '0' && c <= '9' ? std::string(1, c) : "";
      sum += digits.empty() ? 0 : std::stoll(digits);
    }
    CHECK(run["layers"]["columns"][8] == "all at the peak");
    CHECK(sum == peak.get<std::int64_t>());
  };
  const nlohmann::json step = data("step " + layer);
  REQUIRE(step["runs"].size() == 1);
  check_one(step["runs"][0], object_of("step " + layer)["runs"][0]["steps"][0]["peak_allocated"]);
  CHECK(step["runs"][0]["layers"]["rows"][0][3].get<std::string>().find("4*16*18*18*4 B = 82,944") == 0);

  const nlohmann::json explained = data("explain " + layer);
  REQUIRE(explained["runs"].size() == 1);
  check_one(explained["runs"][0], object_of("explain " + layer)["peak_allocated"]);
  CHECK(mnemo_command("explain conv1d conv1d conv1d --report " + page.path()).code == 2);

  const std::string two = "conv2d:8,16,k3@4x8x20x20 conv2d:8,16,k3@4x8x20x20 --device virtual:h200 --batch 4,2";
  const nlohmann::json differing = data("diff " + two);
  REQUIRE(differing["runs"].size() == 2);
  CHECK(differing["text"]["answer"][0] == object_of("diff " + two)["answer"]);

  const std::string points = "--batch 2:6:2 --size 16:20:4 --optimizer adam";
  const nlohmann::json swept = data("sweep " + layer + " " + points);
  const nlohmann::json rows = object_of("sweep " + layer + " " + points)["rows"];
  REQUIRE(swept["runs"].size() == 1);  // nothing rises: the run with the largest peak
  CHECK(swept["runs"][0]["peak"]["bytes"] == rows.back()["peak_allocated"]);
  REQUIRE(swept["text"]["sweeps"].size() == 5);
  std::size_t seen = 0;
  for (const auto& chart : swept["text"]["sweeps"]) {
    const std::string other = chart["axis"] == "batch" ? "size" : "batch";
    for (const auto& point : chart["points"]) {
      for (const auto& row : rows) {
        if (row[std::string(chart["axis"])] != std::stoll(point["label"].get<std::string>())) continue;
        if (chart["title"] != other + " " + row[other].dump()) continue;
        CHECK(point["allocated"] == row["peak_allocated"]);
        CHECK(point["reserved"] == row["peak_reserved"]);
        ++seen;
      }
    }
  }
  CHECK(seen == 2 * rows.size());
}

TEST_CASE("a sweep in which something rises shows both sides of it") {
  const TemporaryFile page("");
  const std::string sweep =
      "sweep conv2d:256,256,k7,p3@1x256x48x48 --size 48:64:16 --policy heuristic --tf32 --device virtual:h200";
  const nlohmann::json object = object_of(sweep);
  if (object["rises"].empty()) return;
  CHECK(mnemo_command(sweep + " --report " + page.path()).code == 0);
  const std::string html = page.read();
  CHECK(html.find("id=\"run-1-kind\"") != std::string::npos);
  for (const std::size_t row : {1, 0}) {
    const std::string peak = "\"bytes\":" + object["rows"][row]["peak_allocated"].dump();
    CHECK(html.find(peak) != std::string::npos);
  }
}

TEST_CASE("a page of what ran out of memory is written too") {
  const TemporaryFile page("");
  CHECK(mnemo_command("step resnet18 --device virtual:100MiB --report " + page.path()).code == 3);
  CHECK(page.read().find("id=\"run-0-kind\"") != std::string::npos);
}
