// The caching allocator: blocks out of segments, kept for reuse when freed. Its rules (rounding, pools, splitting,
// merging, streams, retries) are those of the allocator that users know, so that `allocated` and `reserved` mean
// to the byte what they expect. One choice is our own: equal free blocks tie-break on the order in which
// their segments were made, so that a run gives the same numbers on every device.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <mnemo/memory/block.h>
#include <mnemo/memory/config.h>
#include <mnemo/memory/ledger.h>
#include <mnemo/memory/out_of_memory.h>
#include <mnemo/memory/source.h>
#include <mnemo/memory/statistics.h>

namespace mnemo::memory {

/// A piece of a segment, in a snapshot.
struct BlockView {
  std::uint64_t position = 0;
  Bytes size = 0;
  Bytes requested = 0;
  enum class State : std::uint8_t { active, pending_free, inactive } state = State::inactive;
  Tag tag;
};

/// A segment and the blocks that tile it, by address.
struct SegmentView {
  std::uint64_t position = 0;
  Bytes size = 0;
  StreamId stream = 0;
  bool small_pool = false;
  bool expandable = false;
  std::vector<BlockView> blocks;
};

/// Asked when a request cannot be met even after the cache was emptied: frees what can be spared (on this device, through
/// this allocator), and returns whether it freed anything. It runs on the thread of the request, under no lock; what it
/// throws goes to whoever asked for memory.
using OutOfMemoryHandler = std::function<bool(const OutOfMemory::Details&)>;

/// Hands out blocks of one device's memory. Thread-safe.
class CachingAllocator {
 public:
  /// `device` is the name used in error texts.
  explicit CachingAllocator(std::unique_ptr<Source> source, AllocatorConfig config = {}, std::string device = "device");
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  /// A block of at least `bytes` for `stream`, tagged with `current_tag()`; nullptr for 0 bytes.
  /// Throws OutOfMemory when the device cannot give it even after the cache was emptied, the pools were searched again,
  /// and no handler frees anything more.
  Block* malloc(Bytes bytes, StreamId stream = 0);

  /// Gives a block back; nullptr is ignored. It can be reused once the streams recorded on it have passed this point.
  void free(Block* block) noexcept;

  /// Says that `stream` uses the block too; ignored for the block's own stream.
  void record_stream(Block* block, StreamId stream);

  /// The block is now held for another reason (nothing happens when the category is the same).
  void retag(Block* block, Category category);
  /// The same, saying also by which op of which module (nothing happens when category and module are the same).
  void retag(Block* block, const Tag& tag);

  /// Segments of a stream whose memory is `kept` are not given back to the source, whatever is freed: recorded work goes
  /// on using their addresses.
  void keep(StreamId stream, bool kept);
  /// Bytes of the segments of such streams: a part of `reserved` that only their own work can use.
  Bytes kept() const;

  /// Waits for pending events, then gives every free segment back to the source.
  void empty_cache();

  Statistics statistics() const;
  void reset_peak();
  void reset_accumulated();

  Bytes allocated() const;
  Bytes reserved() const;

  /// Bytes held per category now, and at the peak.
  CategoryBytes categories() const;
  Peak peak() const;

  /// Calls `listener` for every event until the returned subscription is destroyed; see Listener.
  [[nodiscard]] std::shared_ptr<void> subscribe(Listener listener);
  /// The number of the latest subscription, counted through the process; 0 before this allocator's first one. Whoever has
  /// markers for listeners only looks here first: it costs nothing.
  std::uint32_t latest_subscription() const noexcept { return latest_subscription_.load(std::memory_order_relaxed); }
  /// A named moment in the event stream; `text` has static lifetime.
  void marker(const char* text);

  /// Asks `handler` before OutOfMemory is thrown, until the returned subscription is destroyed; the latest one first.
  [[nodiscard]] std::shared_ptr<void> on_out_of_memory(OutOfMemoryHandler handler);

  /// For testing what a program does without memory: of the requests from now on, number `first` (1 is the next one) and
  /// those after it, `count` of them, throw OutOfMemory as if the device had nothing. No handler is asked. A `count` of 0
  /// ends it.
  void inject_failures(std::int64_t first, std::int64_t count = 1);

  /// Every segment and block, by position.
  std::vector<SegmentView> snapshot() const;

  AllocatorConfig config() const;
  /// Takes new options; blocks and segments stay as they are.
  void configure(AllocatorConfig config);

  Source& source();

 private:
  class State;
  /// A block, or nothing when a handler freed something and the request is worth trying again.
  Block* malloc_or_ask(Bytes bytes, StreamId stream);

  std::unique_ptr<State> state_;
  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<OutOfMemoryHandler>> handlers_;  // under the lock, except whether there are any
  std::atomic<bool> handled_{false};
  std::atomic<std::uint32_t> latest_subscription_{0};
};

}  // namespace mnemo::memory
