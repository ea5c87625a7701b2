#include <mnemo/memory/recording.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/recording_format.h>
#include <mnemo/memory/timeline.h>
#include <mnemo/memory/whole_file.h>

namespace mnemo::memory {
namespace {

std::string_view check_magic(std::string_view bytes) {
  if (!bytes.starts_with(kRecordingMagic)) throw FileError("is no recording");
  bytes.remove_prefix(kRecordingMagic.size());
  if (!bytes.starts_with(kRecordingVersion)) {
    const std::string_view version = bytes.substr(0, std::min(bytes.find_first_not_of("0123456789"), bytes.size()));
    throw FileError(fmt::format("is a recording of version '{}'; this program reads version {}", version,
                                kRecordingVersion.substr(0, 1)));
  }
  return bytes.substr(kRecordingVersion.size());
}

}  // namespace

Recording Recording::read(const std::string& path) { return parse(read_whole_file(path), path); }

Recording Recording::parse(std::string bytes, const std::string& name) {
  const auto contents = std::make_shared<Contents>();
  contents->name = name;
  contents->bytes = std::move(bytes);
  std::optional<RecordingEnd> end;
  try {
    std::string_view rest = check_magic(contents->bytes);
    const std::optional<Section> head = read_section(rest);
    if (!head || head->kind != SectionKind::header) throw FileError("has no header");
    contents->header = read_header(head->payload);
    while (const std::optional<Section> section = end ? std::nullopt : read_section(rest)) {
      if (section->kind == SectionKind::header) throw FileError("has two headers");
      if (section->kind == SectionKind::end) {
        end = read_end(section->payload);
        continue;
      }
      ByteReader reader(section->payload);
      Contents::CodedChunk chunk{read_chunk(reader, contents->texts), {}};
      chunk.code = section->payload.substr(section->payload.size() - reader.left());
      if (section->kind == SectionKind::before) {
        if (!contents->chunks.empty()) throw FileError("tells its beginning after events");
        contents->before.push_back(chunk);
        continue;
      }
      if (contents->chunks.empty()) contents->dropped = chunk.first;
      if (chunk.first != contents->dropped + contents->size) throw FileError("lacks events in its middle");
      if (static_cast<std::uint64_t>(chunk.count) > chunk.code.size()) throw FileError("counts events wrongly");
      contents->size += chunk.count;
      contents->chunks.push_back(chunk);
    }
    contents->truncated = !end;
    if (end && !rest.empty()) throw FileError("goes on after its end");
  } catch (const FileError& error) {
    throw FileError(fmt::format("{}: {}", name, error.what()));
  }

  // One walk through all of it, so that no later one can fail.
  Timeline timeline{std::shared_ptr<const Contents>(contents)};
  const auto raise = [&](RecordedPeak& peak, Bytes total) {
    if (total > peak.bytes) peak = {timeline.index(), total, timeline.categories()};
  };
  do {
    raise(contents->peak, timeline.allocated());
    raise(contents->peak_reserved, timeline.reserved());
  } while (timeline.next());
  const std::int64_t events = contents->dropped + contents->size;
  if (end && *end != RecordingEnd{end->events, timeline.allocated(), timeline.reserved(), timeline.categories()}) {
    throw FileError(fmt::format("{}: ends with other totals than its events lead to", name));
  }
  if (end && end->events != events) {
    if (contents->size > 0) throw FileError(fmt::format("{}: has {} events of {}", name, events, end->events));
    contents->dropped = end->events;
  }
  return Recording(contents);
}

const RecordingHeader& Recording::header() const { return contents_->header; }
std::int64_t Recording::size() const { return contents_->size; }
std::int64_t Recording::dropped() const { return contents_->dropped; }
bool Recording::truncated() const { return contents_->truncated; }
const RecordedPeak& Recording::peak() const { return contents_->peak; }
const RecordedPeak& Recording::peak_reserved() const { return contents_->peak_reserved; }

std::vector<Event> Recording::events() const {
  std::vector<Event> events;
  events.reserve(static_cast<std::size_t>(size()));
  for (Timeline timeline(*this); timeline.next();) events.push_back(timeline.event());
  return events;
}

}  // namespace mnemo::memory
