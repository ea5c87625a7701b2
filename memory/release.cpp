// The way back: frees that wait for other streams, merging, and giving segments back to the source.
#include <mnemo/memory/state.h>

#include <algorithm>
#include <cassert>
#include <exception>
#include <string>

#include <mnemo/memory/log.h>
#include <mnemo/memory/marks.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kEdges = 2;  // blocks that stay at the ends of what is unmapped

/// Waits for something of the source's, whatever it answers: memory goes back in any case.
template <class Wait>
void wait_if_possible(const Wait& wait) noexcept {
  try {
    wait();
  } catch (const std::exception& error) {
    log_warning(error.what());
  }
}

}  // namespace

CachingAllocator::State::~State() {
  for (const auto& [stream, queue] : pending_) {
    for (const Pending& pending : queue) wait_if_possible([&] { source->wait(pending.event); });
  }
  for (const auto& [position, segment] : segments_) {
    if (!segment.expandable()) {
      source->free(segment.data, segment.size);
      continue;
    }
    const StreamId used_by = segment.stream;
    wait_if_possible([&] { source->wait(source->record(used_by)); });
    for (const Block* block = segment.first; block != nullptr;) {
      // Neighbouring blocks may share a page, so whole mapped stretches go at once.
      std::byte* const begin = block->data;
      const bool mapped = block->mapped;
      Bytes size = 0;
      for (; block != nullptr && block->mapped == mapped; block = block->next) size += block->size;
      if (mapped) source->unmap(begin, size);
    }
    source->release_range(segment.data, segment.size);
  }
}

void CachingAllocator::State::free(Block* block) {
  assert(block->allocated);
  const Pool& pool = *block->pool;
  block->allocated = false;
  discount(&Statistics::allocation, pool, 1);
  discount(&Statistics::allocated_bytes, pool, block->size);
  if (block->oversize) statistics.oversize_allocations.decrease(1);
  ledger.free_requested(*block);
  if (block->stream_uses.empty()) {
    complete_free(block);
    return;
  }
  for (const StreamId stream : block->stream_uses) {
    ++block->pending_events;
    try {
      const EventId event = source->record(stream);
      pending_[stream].push_back({event, block});
    } catch (const std::exception& error) {
      // Nobody will tell when the stream is done with the block: it is never handed out again.
      log_warning(std::string("a block is given up: ") + error.what());
    }
  }
  block->stream_uses.clear();
}

void CachingAllocator::State::record_stream(Block* block, StreamId stream) {
  assert(block->allocated);
  std::vector<StreamId>& uses = block->stream_uses;
  if (stream != block->stream && std::find(uses.begin(), uses.end(), stream) == uses.end()) uses.push_back(stream);
}

void CachingAllocator::State::poll_events() {
  for (auto queue = pending_.begin(); queue != pending_.end();) {
    // A stream's work is done in its order: the first event that is not done hides those behind it.
    std::deque<Pending>& events = queue->second;
    while (!events.empty() && source->is_done(events.front().event)) {
      event_passed(events.front().block);
      events.pop_front();
    }
    queue = events.empty() ? pending_.erase(queue) : std::next(queue);
  }
}

void CachingAllocator::State::wait_for_events() {
  ++statistics.num_sync_all_streams;
  for (const auto& [stream, events] : pending_) {
    for (const Pending& pending : events) {
      source->wait(pending.event);
      event_passed(pending.block);
    }
  }
  pending_.clear();
}

void CachingAllocator::State::event_passed(Block* block) {
  if (--block->pending_events == 0) complete_free(block);
}

void CachingAllocator::State::complete_free(Block* block) {
  Pool& pool = *block->pool;
  const Bytes size = block->size;
  const Bytes requested = block->requested;
  ledger.free_completed(*block);
  block->requested = 0;

  const Joined joined = join_neighbours(block);
  block = joined.block;
  pool.insert(block);
  discount(&Statistics::active, pool, 1);
  discount(&Statistics::active_bytes, pool, size);
  discount(&Statistics::requested_bytes, pool, requested);

  if (block->segment->expandable()) return;
  // The net change only, as one step: merging and splitting are one event.
  const bool is_split = block->previous != nullptr || block->next != nullptr;
  const Bytes blocks = (is_split ? 1 : 0) - joined.count;
  const Bytes bytes = (is_split ? block->size : 0) - joined.bytes;
  if (blocks > 0) count(&Statistics::inactive_split, pool, blocks);
  if (blocks < 0) discount(&Statistics::inactive_split, pool, -blocks);
  if (bytes > 0) count(&Statistics::inactive_split_bytes, pool, bytes);
  if (bytes < 0) discount(&Statistics::inactive_split_bytes, pool, -bytes);
}

void CachingAllocator::State::empty_cache() {
  // From what it does alone, nobody could tell it from a request that found the device full.
  ledger.marker(kEmptyCacheMark);
  release_cached();
}

void CachingAllocator::State::release_cached() {
  wait_for_events();
  release_cached(large_);
  release_cached(small_);
}

void CachingAllocator::State::release_cached(Pool& pool) {
  std::vector<Block*> shrinkable;  // unmapping changes the set, so it comes after the walk
  for (auto place = pool.free.begin(); place != pool.free.end();) {
    Block* block = (place++)->block;
    if (is_kept(*block)) continue;
    if (block->segment->expandable()) {
      shrinkable.push_back(block);
    } else if (block->previous == nullptr && block->next == nullptr) {
      release_segment(block);
    }
  }
  for (Block* block : shrinkable) {
    provide(kEdges);
    unmap_whole_pages(block);
  }
}

void CachingAllocator::State::keep(StreamId stream, bool kept) {
  if (kept)
    kept_.insert(stream);
  else
    kept_.erase(stream);
}

Bytes CachingAllocator::State::kept() const {
  Bytes bytes = 0;
  for (const auto& [position, segment] : segments_) {
    if (kept_.count(segment.stream) == 0) continue;
    for (const Block* block = segment.first; block != nullptr; block = block->next)
      bytes += block->mapped ? block->size : 0;
  }
  return bytes;
}

/// REQUIRES: `block` is free and covers a plain segment.
void CachingAllocator::State::release_segment(Block* block) {
  const Pool& pool = *block->pool;
  const Segment segment = *block->segment;
  assert(!segment.expandable() && block->size == segment.size);
  block->pool->remove(block);
  remove_segment(segment);
  source->free(segment.data, segment.size);
  discount(&Statistics::segment, pool, 1);
  discount(&Statistics::reserved_bytes, pool, segment.size);
  if (segment.oversize) statistics.oversize_segments.decrease(1);
  ++statistics.num_device_free;
  ledger.segment_freed(segment.position, segment.size, segment.stream);
}

/// With a maximum split size: gives back one free block that is as large as the request (or the maximum), else several
/// from the largest down. False when that is not enough; what was given back stays given back.
bool CachingAllocator::State::release_oversize(const Request& request) {
  if (config.max_split_size == AllocatorConfig::kUnlimited) return false;
  BlockSet& free = request.pool->free;
  const Bytes wanted = std::max(request.size, config.max_split_size);
  const auto releasable = [this](const Block* block) {
    return !is_kept(*block) && !block->segment->expandable() && block->previous == nullptr && block->next == nullptr;
  };
  const auto large_enough = free.lower_bound({.stream = request.stream, .size = wanted});
  for (auto place = large_enough; place != free.end() && place->stream == request.stream; ++place) {
    if (!releasable(place->block)) continue;
    release_segment(place->block);
    return true;
  }
  Bytes released = 0;
  for (auto place = large_enough; released < wanted && place != free.begin();) {
    const auto largest = std::prev(place);
    if (largest->stream != request.stream || largest->size < config.max_split_size) break;
    if (releasable(largest->block)) {
      released += largest->size;
      release_segment(largest->block);  // `place` stays valid: it is the one above
    } else {
      place = largest;
    }
  }
  return released >= wanted;
}

/// Gives back large segments that have been unused for longer than the average, until reserved memory is
/// below the threshold. No event is waited for.
void CachingAllocator::State::collect_garbage() {
  const auto limit = static_cast<Bytes>(config.garbage_collection_threshold * static_cast<double>(allowed_));
  const Bytes excess = statistics.reserved_bytes.all.current - limit;
  if (excess <= 0) return;
  std::vector<Block*> unused;
  std::int64_t total_age = 0;
  const auto age = [&](const Block* block) { return large_.searches - block->free_since; };
  for (const BlockKey& key : large_.free) {
    if (key.block->previous != nullptr || key.block->next != nullptr || is_kept(*key.block)) continue;
    unused.push_back(key.block);
    total_age += age(key.block);
  }
  Bytes reclaimed = 0;
  for (bool progress = true; progress && reclaimed < excess && !unused.empty();) {
    const double mean = static_cast<double>(total_age) / static_cast<double>(unused.size());
    progress = std::erase_if(unused, [&](Block* block) {
                 if (block->segment->expandable() || static_cast<double>(age(block)) < mean) return false;
                 total_age -= age(block);
                 reclaimed += block->size;
                 release_segment(block);
                 return true;
               }) > 0;
  }
}

}  // namespace mnemo::memory
