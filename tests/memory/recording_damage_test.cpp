// Files that are no recording, or no longer: cut off, bent, or written to do harm.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include <mnemo/memory/error.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/recording_format.h>
#include <mnemo/memory/timeline.h>

#include "memory/recorded_workload.h"
#include "memory/virtual_device.h"
#include "temporary_folder.h"

namespace mnemo::memory {
namespace {

/// The file of a random workload that began with blocks alive, in several chunks.
std::string recorded() {
  const TemporaryFolder folder;
  const std::string path = folder / "recording";
  RecordedWorkload workload("expandable_segments:True", 150 * MiB);
  workload.run(200);
  {
    const Recorder recorder = record(workload.allocator(), path, {.device = "virtual", .metadata = {{"key", "value"}}});
    workload.run(8000);
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

/// A file of one chunk with these codes, written as a recorder would.
std::string forged(const Chunk& chunk, std::string_view code, std::string_view text = "op") {
  std::ostringstream out;
  out << kRecordingMagic << kRecordingVersion;
  write_section(out, SectionKind::header, header_payload({}));
  write_section(out, SectionKind::events, chunk_head(chunk, {std::string(text)}, 0), code);
  return std::move(out).str();
}

std::string forged(const std::vector<Event>& events) {
  EventEncoder encoder(false);
  std::string code;
  for (const Event& event : events) {
    std::uint8_t buffer[EventEncoder::kMost];
    const std::uint8_t* end = encoder.encode(buffer, event, 0);
    code.append(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(end - buffer));
  }
  return forged({.first = 0, .count = static_cast<std::int64_t>(events.size())}, code, "");
}

std::string refusal(std::string bytes) {
  try {
    Recording::parse(std::move(bytes), "file");
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a file that was cut off is read up to its last whole chunk") {
  const std::string bytes = recorded();
  const Recording whole = Recording::parse(bytes, "whole");
  REQUIRE(whole.size() > 10'000);
  const std::vector<Event> events = whole.events();
  std::int64_t most = 0;
  int refused = 0;
  for (std::size_t size = 0; size < bytes.size(); size += size < 400 ? 1 : 997) {
    CAPTURE(size);
    try {
      const Recording part = Recording::parse(bytes.substr(0, size), "part");
      REQUIRE(part.truncated());
      REQUIRE(part.size() >= most);
      most = part.size();
      if (most == 0) continue;
      Timeline timeline(part);
      timeline.seek(most);
      CHECK(text(timeline.event()) == text(events[static_cast<std::size_t>(most - 1)]));
    } catch (const FileError&) {
      ++refused;
      CHECK(size < 100);  // the header was cut
    }
  }
  CHECK(refused > 20);
  CHECK(most > 5000);
  const Recording part = Recording::parse(bytes.substr(0, bytes.size() - 1), "part");
  CHECK(part.truncated());
  CHECK(part.size() == whole.size());
}

TEST_CASE("no bent bit goes unnoticed") {
  const std::string bytes = recorded();
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string bent = bytes;
    const std::size_t place = i < 100 ? static_cast<std::size_t>(i) : random() % bent.size();
    bent[place] = static_cast<char>(bent[place] ^ (1 << (random() % 8)));
    CAPTURE(place);
    try {
      const Recording recording = Recording::parse(bent, "bent");
      CHECK(recording.truncated());  // a length that points beyond the end
    } catch (const FileError&) {
    }
  }
}

TEST_CASE("garbage under a right checksum is refused, or makes sense") {
  std::mt19937_64 random(2);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string code(random() % 40, '\0');
    for (char& byte : code) byte = static_cast<char>(random() % 3 == 0 ? random() % 8 : random());
    refused += refusal(forged({.first = 0, .count = static_cast<std::int64_t>(random() % 8)}, code)).empty() ? 0 : 1;
  }
  CHECK(refused > 15'000);
}

TEST_CASE("a refusal names the file, the event and the reason") {
  CHECK(refusal("") == "file: is no recording");
  CHECK(refusal("mnemo recording 2\n....") == "file: is a recording of version '2'; this program reads version 1");
  CHECK(refusal("mnemo recording 1\n") == "file: has no header");
  CHECK(refusal(forged({.count = 3}, "")) == "file: counts events wrongly");
  CHECK(refusal(forged({.count = 1, .allocated = 5}, "\x0f")).find("event 0 does not follow") != std::string::npos);
  CHECK(refusal(forged({.count = 1}, "\x77")) == "file: event 0 names a text that is not there");

  const Event segment{.kind = EventKind::segment_alloc, .position = 0, .size = 2 * MiB, .tag = {}};
  const Event block{.kind = EventKind::alloc, .position = 512, .size = 1024, .requested = 600, .tag = {}};
  const auto after = [&](Event event) { return refusal(forged({segment, block, event})); };
  const auto with = [&](EventKind kind, std::uint64_t position, Bytes size) {
    Event event = block;
    event.kind = kind;
    event.position = position;
    event.size = size;
    event.requested = size;
    return event;
  };
  CHECK(refusal(forged({segment, block})) == "");
  CHECK(after(segment) == "file: event 2 obtains a segment at 0, where there is one");
  CHECK(after(block) == "file: event 2 allocates 1024 bytes at 512, where a block is in use");
  CHECK(after(with(EventKind::alloc, 0, 513)).find("a block is in use") != std::string::npos);
  CHECK(after(with(EventKind::alloc, 2 * MiB - 1, 2)).find("there is no segment") != std::string::npos);
  CHECK(after(with(EventKind::alloc, 2048, 0)).find("is no place in memory") != std::string::npos);
  CHECK(after(with(EventKind::alloc, 2048, -5)).find("for less than nothing") != std::string::npos);
  CHECK(after(with(EventKind::segment_alloc, ~std::uint64_t{0} - 5, 512)).find("is no place") != std::string::npos);
  CHECK(after(with(EventKind::segment_free, 0, 2 * MiB)).find("or in use") != std::string::npos);
  CHECK(after(with(EventKind::free_requested, 0, 1)) ==
        "file: event 2 free_requested at 0, where there is no such block");
  CHECK(after(with(EventKind::free_completed, 512, 1)).find("no such block") != std::string::npos);
  CHECK(after(with(EventKind::retag, 3, 1)).find("no such block") != std::string::npos);
  CHECK(after(with(EventKind::segment_free, MiB, MiB)) == "");
}

TEST_CASE("sections out of order are refused") {
  std::ostringstream out;
  write_section(out, SectionKind::end, end_payload({}));
  const std::string end = std::move(out).str();
  const std::string bytes = forged({}, "");
  CHECK(refusal(bytes) == "");
  CHECK(refusal(bytes + end) == "");
  CHECK(refusal(bytes + end + end) == "file: goes on after its end");
  std::ostringstream other;
  write_section(other, SectionKind::end,
                end_payload({.events = 0, .allocated = 512, .reserved = 512, .categories = {}}));
  CHECK(refusal(bytes + other.str()) == "file: ends with other totals than its events lead to");
  std::ostringstream header;
  write_section(header, SectionKind::header, header_payload({}));
  CHECK(refusal(bytes + header.str()) == "file: has two headers");
}

TEST_CASE("what is no file is refused") {
  CHECK_THROWS_AS(Recording::read("/nonexistent"), FileError);
  CHECK_THROWS_AS(Recording::read(std::filesystem::temp_directory_path().string()), FileError);
  if (std::filesystem::exists("/dev/zero")) CHECK_THROWS_AS(Recording::read("/dev/zero"), FileError);
}

}  // namespace
}  // namespace mnemo::memory
