// The report: what its page carries, read back by the rules that are written beside ReportData.
#include <mnemo/memory/report.h>

#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/report_data.h>
#include <mnemo/memory/timeline.h>
#include <nlohmann/json.hpp>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"

namespace mnemo::memory {
namespace {

using Json = nlohmann::json;

std::string page(const std::vector<ReportRun>& runs, const ReportText& text = {}) {
  std::ostringstream out;
  write_report(out, runs, text);
  return out.str();
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
  return found;
}

/// What the script element with this id holds.
std::string element(const std::string& page, const std::string& id) {
  const std::size_t at = page.find(" id=\"" + id + "\">");
  REQUIRE(at != std::string::npos);
  const std::size_t begin = page.find('>', at) + 1;
  return page.substr(begin, page.find("</script>", begin) - begin);
}

class Column {
 public:
  Column(const std::string& page, const std::string& name) {
    unsigned group = 0;
    int bits = 0;
    for (const char letter : element(page, "run-0-" + name)) {
      if (letter == '=') break;
      static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      group = group << 6 | static_cast<unsigned>(kDigits.find(letter));
      bits += 6;
      if (bits >= 8) bytes_ += static_cast<char>(group >> (bits -= 8) & 255);
    }
  }
  std::size_t left() const { return bytes_.size() - at_; }
  std::uint64_t byte() { return static_cast<unsigned char>(bytes_.at(at_++)); }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const std::uint64_t next = byte();
      value |= (next & 127) << shift;
      if (next < 128) return value;
    }
  }
  std::int64_t signed_number() {
    const std::uint64_t code = number();
    return static_cast<std::int64_t>(code >> 1) ^ -static_cast<std::int64_t>(code & 1);
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

/// The events of a page's first run, with totals from adding them up.
std::vector<std::string> events_of(const std::string& page) {
  const Json run = Json::parse(element(page, "data"))["runs"][0];
  Column kinds(page, "kind"), places(page, "place"), sizes(page, "size"), slacks(page, "slack"), tags(page, "tag"),
      steps(page, "step"), streams(page, "stream"), blocks(page, "block");
  std::int64_t place = 0, step = 0;
  Bytes allocated = 0, reserved = 0;
  std::vector<Event> made;
  std::vector<std::string> result;
  std::vector<std::string> texts = run["texts"];
  const auto read_tag = [&] {
    const Json& tag = run["tags"].at(tags.number());
    step += steps.signed_number();
    return Tag{static_cast<Category>(tag[0]), static_cast<Phase>(tag[1]), texts.at(tag[2]).c_str(),
               texts.at(tag[3]).c_str(), step};
  };
  while (kinds.left() > 0) {
    Event event;
    event.kind = static_cast<EventKind>(kinds.byte());
    const bool segment = event.kind == EventKind::segment_alloc || event.kind == EventKind::segment_free;
    if (segment || event.kind == EventKind::alloc) {
      event.position = static_cast<std::uint64_t>(place += places.signed_number());
      event.size = static_cast<Bytes>(sizes.number());
    }
    switch (event.kind) {
      case EventKind::alloc:
        event.requested = event.size - slacks.signed_number();
        event.tag = read_tag();
        event.stream = streams.signed_number();
        allocated += event.size;
        made.push_back(event);
        break;
      case EventKind::free_requested:
      case EventKind::free_completed:
      case EventKind::retag: {
        Event& block = made.at(made.size() - 1 - blocks.number());
        if (event.kind == EventKind::free_requested) allocated -= block.size;
        event.before = event.kind == EventKind::retag ? block.tag.category : Category::other;
        if (event.kind == EventKind::retag) block.tag = read_tag();
        const Event copy = event;
        event = block;
        event.kind = copy.kind;
        event.before = copy.before;
        break;
      }
      case EventKind::segment_alloc:
      case EventKind::segment_free:
        event.tag = read_tag();
        event.stream = streams.signed_number();
        reserved += event.kind == EventKind::segment_alloc ? event.size : -event.size;
        break;
      case EventKind::oom:
        event.size = static_cast<Bytes>(sizes.number());
        event.requested = event.size - slacks.signed_number();
        event.tag = read_tag();
        event.stream = streams.signed_number();
        break;
      case EventKind::marker:
        event.tag = read_tag();
        break;
    }
    event.allocated = allocated;
    event.reserved = reserved;
    result.push_back(text(event));
  }
  for (const Column* column : {&places, &sizes, &slacks, &tags, &steps, &streams, &blocks}) CHECK(column->left() == 0);
  return result;
}

/// A device with one block, of the given names.
Recording named(const char* name) {
  VirtualDevice device;
  Recorder recorder = record(device.allocator, Ring{}, {.device = name, .metadata = {{name, name}}});
  const OpScope op(intern(name));
  const ModuleScope module(intern(name));
  device.free(device.malloc(1000));
  device.allocator.marker(intern(name));
  return recorder.recording();
}

constexpr const char* kHostile = "</script><img src=x onerror=alert(1)><!-- \" ' & \\ \xff\xe2\x80\xa8";

}  // namespace

TEST_CASE("the events of a page are those of the recording, from what was alive at its beginning") {
  for (const std::int64_t events : {1'000'000, 700}) {  // a ring of all events, and one that has dropped some
    RecordedWorkload workload("", 256 * MiB);
    workload.run(200);
    const Recorder recorder = record(workload.allocator(), Ring{events});
    workload.run(2000);
    const Recording recording = recorder.recording();
    CHECK((recording.dropped() > 0) == (events == 700));
    const std::string html = page({{recording, "run"}});
    const std::vector<std::string> found = events_of(html);
    const Json run = Json::parse(element(html, "data"))["runs"][0];
    const auto initial = run["initial"].get<std::size_t>();
    CHECK(initial > 0);
    REQUIRE(found.size() == initial + static_cast<std::size_t>(recording.size()));
    const std::vector<Event> expected = recording.events();
    std::size_t different = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (found[initial + i] != text(expected[i]) && different++ == 0) CHECK(found[initial + i] == text(expected[i]));
    }
    CHECK(different == 0);
    CHECK(run["events"] == recording.size());
    CHECK(run["peak"]["bytes"] == recording.peak().bytes);
    CHECK(run["peak_reserved"]["event"] == recording.peak_reserved().event);
    CHECK(run["end"]["allocated"] == expected.back().allocated);
    CHECK(run["dropped"] == recording.dropped());
  }
}

TEST_CASE("no name can leave the text that it is in") {
  const std::string harmless = page({{named("a"), "a"}}, {.answer = {"a"}});
  const std::string hostile = page({{named(kHostile), kHostile}}, {.answer = {kHostile}});
  for (const char* tag : {"</script", "<script", "<img", "<!--"}) CHECK(count(hostile, tag) == count(harmless, tag));
  // The names are all there nonetheless.
  const Json data = Json::parse(element(hostile, "data"));
  const std::string shown = data["text"]["answer"][0];
  CHECK(shown.starts_with("</script><img src=x onerror=alert(1)><!-- \" ' & \\ "));
  for (const char* key : {"name", "device"}) CHECK(data["runs"][0][key] == shown);
  CHECK(data["runs"][0]["metadata"][0] == Json{shown, shown});
}

TEST_CASE("the same runs give the same page, and it fetches nothing") {
  const std::string first = page({{named("a"), "a"}, {named("b"), "b"}});
  CHECK(first == page({{named("a"), "a"}, {named("b"), "b"}}));
  CHECK(first.starts_with("<!doctype html>"));
  CHECK(first.ends_with("</html>\n"));
  for (const char* fetching :
       {"<link", "<script src", "@import", "url(", "sourceMappingURL", " onclick=", " onload="}) {
    CAPTURE(fetching);
    CHECK(count(first, fetching) == 0);
  }
  CHECK(count(first, "default-src 'none'") == 1);
}

TEST_CASE("what does not add up is refused before anything is written") {
  ReportRun run{named("a"), "a"};
  const auto refused = [](const std::vector<ReportRun>& runs, const ReportText& text) {
    std::ostringstream out;
    std::string reason;
    try {
      write_report(out, runs, text);
    } catch (const Error& error) {
      reason = error.what();
    }
    CHECK(out.str().empty());
    return reason;
  };
  CHECK(refused({}, {}) == "[write_report] shows one recording or two, not 0");
  CHECK(refused({run, run, run}, {}) == "[write_report] shows one recording or two, not 3");
  ReportText text;
  text.sums = {{"peak allocated", 10, 17, {{"a", 8}, {"b", -2}}}};
  CHECK(refused({run}, text) == "[write_report] peak allocated: from 10 the parts lead to 16, not to 17 bytes");
  text.sums[0].to = 16;
  CHECK(Json::parse(element(page({run}, text), "data"))["text"]["sums"][0]["parts"][1]["bytes"] == -2);
  run.layers = {{"module", "saved"}, {{"conv"}}};
  CHECK(refused({run}, text) == "[write_report] a row of 1 cells in a table of 2 columns");
}

TEST_CASE("base64 is that of RFC 4648") {
  const std::map<std::string, std::string> vectors = {{"", ""},
                                                      {"f", "Zg=="},
                                                      {"fo", "Zm8="},
                                                      {"foo", "Zm9v"},
                                                      {"foob", "Zm9vYg=="},
                                                      {"fooba", "Zm9vYmE="},
                                                      {"foobar", "Zm9vYmFy"},
                                                      {"\xff\xfe\xfb", "//77"}};
  for (const auto& [bytes, text] : vectors) CHECK(base64(bytes) == text);
}

}  // namespace mnemo::memory
