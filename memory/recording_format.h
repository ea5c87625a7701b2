// The file of a recording: a line of text with the version, then sections: one header, what was alive at the beginning
// (as events), chunks of events, and one end. A chunk can be decoded without the ones before it.
#pragma once

#include <deque>
#include <iosfwd>
#include <optional>
#include <string_view>

#include <mnemo/memory/recording.h>
#include <mnemo/memory/varint.h>

namespace mnemo::memory {

inline constexpr std::string_view kRecordingMagic = "mnemo recording ";
inline constexpr std::string_view kRecordingVersion = "1\n";

enum class SectionKind : char { header = 'H', before = 'B', events = 'V', end = 'E' };

/// A section: kind, length and CRC-32 of the payload (little-endian), payload.
void write_section(std::ostream& out, SectionKind kind, std::string_view payload, std::string_view more = {});

struct Section {
  SectionKind kind = SectionKind::end;
  std::string_view payload;
};
/// Takes the next section off `bytes`; nothing when they end before it does. Throws FileError when it is damaged.
std::optional<Section> read_section(std::string_view& bytes);

/// Some events in a row, with the totals before them.
struct Chunk {
  std::int64_t first = 0;
  std::int64_t count = 0;
  Bytes allocated = 0;
  Bytes reserved = 0;
};
/// What stands before the events' codes: the chunk's fields and the texts from number `from` on.
std::string chunk_head(const Chunk& chunk, const std::deque<std::string>& texts, std::size_t from);
/// Adds the chunk's texts to `texts`; `reader` is then at the codes.
Chunk read_chunk(ByteReader& reader, std::deque<std::string>& texts);

std::string header_payload(const RecordingHeader& header);
RecordingHeader read_header(std::string_view payload);

/// What the recorder saw at its end, to check the events against.
struct RecordingEnd {
  std::int64_t events = 0;  ///< including those that were dropped
  Bytes allocated = 0;
  Bytes reserved = 0;
  CategoryBytes categories{};

  bool operator==(const RecordingEnd&) const = default;
};
std::string end_payload(const RecordingEnd& end);
RecordingEnd read_end(std::string_view payload);

/// A recording in memory.
struct Recording::Contents {
  struct CodedChunk : Chunk {
    std::string_view code;
  };

  std::string name;
  std::string bytes;  ///< the file; codes point into it
  RecordingHeader header;
  std::deque<std::string> texts;
  std::vector<CodedChunk> before;
  std::vector<CodedChunk> chunks;
  std::int64_t size = 0;
  std::int64_t dropped = 0;
  bool truncated = false;
  RecordedPeak peak;
  RecordedPeak peak_reserved;
};

}  // namespace mnemo::memory
