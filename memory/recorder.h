// Recording what happens to an allocator's memory: while a Recorder lives, every event goes to a file, or to a ring
// that keeps the latest ones. Both are bounded in memory; an event costs some 20 ns, and 90 ns in a ring that is full.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <mnemo/memory/allocator.h>
#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// What the recording shall say about itself, besides what the allocator knows.
struct RecordingAbout {
  std::string device = {};                                         ///< its name, such as "virtual:h200"
  std::optional<Bytes> context = {};                               ///< bytes taken outside of the allocator, if known
  std::vector<std::pair<std::string, std::string>> metadata = {};  ///< command line, model, batch size, ...
  bool timed = false;  ///< with microseconds per event; sensible on real devices, and no two runs are then equal
};

/// A recording kept in memory: the latest events, at most this many and at least seven eighths of it (about six bytes
/// each), and the texts and the
/// blocks alive that they need.
struct Ring {
  std::int64_t events = 1'000'000;
};

/// Ends the recording when destroyed; it may outlive the allocator. Its functions may be called on any thread, but not
/// from a listener of that allocator. An error while recording (a full disk) never disturbs the program: recording
/// ceases, `stop` says why.
class Recorder {
 public:
  /// As `stop`, but an error goes to the log.
  ~Recorder();
  Recorder(Recorder&&) noexcept;
  Recorder& operator=(Recorder&&) = delete;

  /// Ends the recording; a file is then complete. Nothing happens the second time.
  /// Throws FileError when something could not be recorded or written.
  void stop();

  /// Number of events until now, including those that a ring has dropped.
  std::int64_t events() const;

  /// What a ring holds now; it goes on recording. Throws Error for a recorder to a file: read that one.
  Recording recording() const;
  /// The same, written to a file. Throws FileError when it cannot be written.
  void save(const std::string& path) const;

 private:
  friend Recorder record(CachingAllocator& allocator, const std::string& path, RecordingAbout about);
  friend Recorder record(CachingAllocator& allocator, Ring ring, RecordingAbout about);
  class State;
  explicit Recorder(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// Records `allocator` to the file at `path`, which is replaced; what was recorded before a crash can be read but for
/// the last few thousand events, or up to an OutOfMemory. Blocks that are alive already are part of the recording.
/// Throws FileError when the file cannot be made.
[[nodiscard]] Recorder record(CachingAllocator& allocator, const std::string& path, RecordingAbout about = {});
/// Records `allocator` to a ring in memory. Throws ConfigError for a ring of less than one event.
[[nodiscard]] Recorder record(CachingAllocator& allocator, Ring ring, RecordingAbout about = {});

}  // namespace mnemo::memory
