// What a CachingAllocator is made of, behind its lock: pools, segments, pending events, statistics and the ledger.
// allocation.cpp hands blocks out, release.cpp takes them and their segments back, expandable.cpp grows and shrinks
// address ranges, snapshot.cpp describes all of it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <mnemo/memory/allocator.h>
#include <mnemo/memory/pool.h>
#include <mnemo/memory/segment.h>

namespace mnemo::memory {

/// One call of malloc on its way through the allocator.
struct Request {
  Bytes bytes = 0;    // as asked
  Bytes size = 0;     // rounded: what the block must have
  Bytes segment = 0;  // what the device is asked for if no block fits
  StreamId stream = 0;
  Pool* pool = nullptr;
};

class CachingAllocator::State {
 public:
  State(std::unique_ptr<Source> source, const AllocatorConfig& config, std::string device);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void configure(const AllocatorConfig& config);

  // allocation.cpp
  /// nullptr when the request cannot be met, and nothing has changed but the cache.
  Block* malloc(Bytes bytes, StreamId stream);
  void inject_failures(std::int64_t first, std::int64_t count);
  void retag(Block* block, const Tag& tag);

  // release.cpp
  void free(Block* block);
  void record_stream(Block* block, StreamId stream);
  void empty_cache();
  void keep(StreamId stream, bool kept);
  Bytes kept() const;

  // snapshot.cpp
  std::vector<SegmentView> snapshot() const;
  /// Why the request that `malloc` has just refused cannot be met.
  OutOfMemory::Details shortage(Bytes bytes, StreamId stream);
  /// Tells ledger and statistics, and throws.
  [[noreturn]] void fail(OutOfMemory::Details details, StreamId stream);

  AllocatorConfig config;
  std::unique_ptr<Source> source;
  Statistics statistics;
  Ledger ledger;

 private:
  // allocation.cpp
  Request request_of(Bytes bytes, StreamId stream);
  bool injects_failure();
  Block* find_free(const Request& request);
  Block* obtain(const Request& request);
  Block* new_segment(const Request& request);
  Block* hand_out(Block* block, const Request& request);
  bool splits(const Block& block, const Request& request) const;

  // release.cpp
  void poll_events();
  void wait_for_events();
  void event_passed(Block* block);
  void complete_free(Block* block);
  bool release_oversize(const Request& request);
  void release_cached();
  void release_cached(Pool& pool);
  void release_segment(Block* block);
  void collect_garbage();
  bool is_kept(const Block& block) const { return !kept_.empty() && kept_.count(block.stream) > 0; }

  // expandable.cpp
  Block* grow(const Request& request);
  Block* find_growable(const Request& request);
  Block* map(Block* block, Bytes bytes);
  void unmap_whole_pages(Block* block);

  // blocks.cpp
  void provide(std::size_t blocks);
  Block* make_block();
  void recycle(Block* block);
  std::uint64_t position_of(const Segment& segment) const;
  Block* add_segment(Segment segment);
  void remove_segment(const Segment& segment);
  Block* split_off(Block* block, Bytes size);
  struct Joined {
    Block* block = nullptr;
    int count = 0;
    Bytes bytes = 0;
  };
  Joined join_neighbours(Block* block);

  bool limited() const { return allowed_ >= 0; }
  void count(PoolStat Statistics::*stat, const Pool& pool, Bytes by) {
    PoolStat& counter = statistics.*stat;
    counter.all.increase(by);
    (pool.small ? counter.small_pool : counter.large_pool).increase(by);
  }
  void discount(PoolStat Statistics::*stat, const Pool& pool, Bytes by) {
    PoolStat& counter = statistics.*stat;
    counter.all.decrease(by);
    (pool.small ? counter.small_pool : counter.large_pool).decrease(by);
  }

  std::string device_;
  BlockNodes nodes_;
  Pool small_{true, nodes_};
  Pool large_{false, nodes_};
  bool expandable_ = false;  // wanted by the configuration, and the source can do it
  Bytes allowed_ = -1;       // what the memory fraction allows to reserve; -1: everything

  std::int64_t before_failure_ = 0;  // requests that go well before `failures_` of them fail
  std::int64_t failures_ = 0;
  bool injected_ = false;  // the latest request was one of them

  struct Pending {
    EventId event = 0;
    Block* block = nullptr;
  };
  std::map<StreamId, std::deque<Pending>> pending_;  // a stream's events in their order; no empty queues

  std::set<StreamId> kept_;                    // streams whose segments stay
  std::map<std::uint64_t, Segment> segments_;  // by position
  std::uint64_t next_position_ = 0;            // above every segment that there was
  std::deque<Block> blocks_;                   // every block ever made: they are recycled, so that addresses stay valid
  std::vector<Block*> spare_blocks_;
};

}  // namespace mnemo::memory
