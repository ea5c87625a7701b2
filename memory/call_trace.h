// The calls that a program made of its allocator, one after the other: what can be made again, of another allocator.
// They are read from a trace of text, a recording of mnemo's, or a snapshot of PyTorch's.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/memory/config.h>
#include <mnemo/memory/import.h>
#include <mnemo/memory/recording.h>

namespace mnemo::memory {

struct Call {
  enum class Kind : std::uint8_t {
    malloc,
    attempt,  ///< a malloc that failed when it was recorded; if it does not fail now, the block is freed at once
    free,
    record_stream,
    retag,
    complete,      ///< other streams are done with the block, which was freed
    complete_all,  ///< all streams are done with everything
    empty_cache,
    reset_peak,
  };
  Kind kind = Kind::malloc;
  std::uint32_t block = 0;  ///< of those that concern one: its number
  std::uint32_t tag = 0;    ///< index into CallTrace::tags
  Bytes bytes = 0;          ///< as asked for
  StreamId stream = 0;
};

/// Calls, and what was recorded when they were first made.
struct CallTrace {
  struct Totals {
    Bytes allocated = 0;
    Bytes reserved = 0;
    bool operator==(const Totals&) const = default;
  };
  /// A segment and where it lay among the others.
  struct Segment {
    Bytes size = 0;
    std::uint64_t position = 0;
  };
  /// A part of a step; it ends where the next one begins.
  struct Stretch {
    std::size_t begin = 0;  ///< index of its first call
    std::int64_t step = 0;
    Phase phase = Phase::setup;
  };

  std::string name;  ///< of the file; for error texts
  std::vector<Call> calls;
  std::size_t blocks = 0;             ///< block numbers are below it
  std::vector<Tag> tags = {Tag{}};    ///< their texts live as long as `recording`
  std::vector<std::uint32_t> lines;   ///< of a text: the line of each call; else empty
  std::vector<std::string> warnings;  ///< what could not be told from the file, a sentence each

  // Of recordings and snapshots only.
  std::optional<Recording> recording;
  bool imported = false;            ///< by way of PyTorch's format
  std::vector<Totals> totals;       ///< after each call
  std::vector<Stretch> stretches;   ///< by begin
  Totals before;                    ///< before the first call
  std::vector<Call> blocks_before;  ///< allocates what was alive then
  /// The same in segments as they were, with what was free in them: by the sizes of blocks, so that options which round
  /// or which limit splitting must not be on.
  std::vector<Call> segments_before;
  std::vector<Segment> segments;  ///< in the order in which they were obtained, those from before the trace first

  /// What the allocator was, as far as the file says it.
  AllocatorConfig config() const;
  Bytes capacity() const;
  Bytes context() const;
};

/// The calls that led to what `recording` says. Streams that a block waited for are not in it: such a block gets one
/// that ends when the wait did. Memory given back right before more was obtained was `empty_cache`, unless the device
/// was full. Throws ConfigError for options of the allocator that are not known here, and FileError for segments larger
/// than any device.
CallTrace calls_of(const Recording& recording);

/// Reads text, one operation per line: `alloc,ID,BYTES,STREAM`, `free,ID`, `record_stream,ID,STREAM`, `complete`,
/// `empty_cache`, `reset_peak`; `#` starts a comment. Throws FileError with `name`, line and reason for what is none.
CallTrace read_calls(std::istream& text, const std::string& name);

/// Reads what the file at `path` is by its content: a recording, a snapshot (pickle or JSON), or text.
/// Throws FileError, and ConfigError for a device that is not in the snapshot.
CallTrace read_calls(const std::string& path, const ImportOptions& options = {});
/// The same from the bytes of a file.
CallTrace read_calls(std::string bytes, const std::string& name, const ImportOptions& options = {});

}  // namespace mnemo::memory
