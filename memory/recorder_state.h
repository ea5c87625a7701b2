// What a Recorder is made of: the events of the present chunk as bytes, and where full chunks go: a file or a ring.
#pragma once

#include <chrono>
#include <deque>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include <mnemo/memory/event_code.h>
#include <mnemo/memory/live.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/recording_format.h>

namespace mnemo::memory {

class Recorder::State {
 public:
  /// Records to the file at `path`, or to a ring when it is empty.
  State(CachingAllocator& allocator, std::string path, Ring ring, RecordingAbout about);
  ~State() { subscription_.reset(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void stop();
  std::int64_t events() const;
  /// The file of what the ring holds.
  void write(std::ostream& out);
  bool in_memory() const { return path_.empty(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct SealedChunk : Chunk {
    std::string code;
  };

  void begin(CachingAllocator& allocator);
  void listen(const Event& event) noexcept;
  void record(const Event& event);
  std::uint64_t elapsed();
  void begin_chunk();
  void seal();
  void drop_oldest();
  void write_before(std::ostream& out, std::size_t& texts);
  void check_file();
  std::string_view code() const { return {reinterpret_cast<const char*>(code_.data()), code_size()}; }
  std::size_t code_size() const { return static_cast<std::size_t>(end_ - code_.data()); }

  mutable std::mutex mutex_;  // taken after the allocator's, or alone
  std::string path_;
  std::ofstream file_;
  RecordingHeader header_;
  std::int64_t ring_ = 0;
  std::string error_;  // why recording ceased
  bool ended_ = false;
  enum class Stage : std::uint8_t { starting, recording, stopped } stage_ = Stage::starting;
  std::int64_t early_ = 0;  // events since looking at what is alive

  EventEncoder encoder_;
  std::vector<std::uint8_t> code_;
  std::uint8_t* end_ = nullptr;
  Chunk chunk_;
  std::int64_t chunk_limit_ = -1;  // events, of a ring
  std::size_t written_texts_ = 0;
  RecordingEnd totals_;
  Clock::time_point start_ = Clock::now();
  std::int64_t time_ = 0;

  LiveState before_;  // before the first event that the ring holds
  std::deque<SealedChunk> sealed_;
  std::int64_t sealed_events_ = 0;

  std::shared_ptr<void> subscription_;  // last: it ends before the rest goes
};

}  // namespace mnemo::memory
