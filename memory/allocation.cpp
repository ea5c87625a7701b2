// The way of a request: best fit in its pool, else a new segment, else room is made, else OutOfMemory.
#include <mnemo/memory/state.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include <fmt/format.h>

#include <mnemo/memory/log.h>
#include <mnemo/memory/marks.h>
#include <mnemo/memory/rounding.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kNewBlocks = 4;  // that a request makes at most: of a new segment, and the rests of what was cut

}  // namespace

CachingAllocator::State::State(std::unique_ptr<Source> memory_source, const AllocatorConfig& options,
                               std::string device)
    : source(std::move(memory_source)), device_(std::move(device)) {
  assert(source != nullptr);
  configure(options);
}

void CachingAllocator::State::configure(const AllocatorConfig& options) {
  options.check();
  const Bytes capacity = source->capacity();
  allowed_ = -1;
  if (options.memory_fraction < 1 && capacity > 0) {
    allowed_ = static_cast<Bytes>(std::floor(options.memory_fraction * static_cast<double>(capacity)));
  }
  expandable_ = false;
  if (options.expandable_segments) {
    std::byte* probe = source->reserve_range(kSmallSegment);
    expandable_ = probe != nullptr;
    if (expandable_) {
      source->release_range(probe, kSmallSegment);
    } else {
      log_warning(fmt::format("expandable_segments: {} has no virtual addressing, plain segments are used", device_));
    }
  }
  config = options;
}

Block* CachingAllocator::State::malloc(Bytes bytes, StreamId stream) {
  injected_ = injects_failure();
  if (injected_ || bytes < 0 || bytes >= kTooLarge) return nullptr;
  provide(kNewBlocks);
  if (!pending_.empty()) poll_events();
  Request request = request_of(bytes, stream);
  Block* block = find_free(request);
  if (block == nullptr) {
    request.segment = segment_bytes(request.size, config);
    block = obtain(request);
  }
  return block == nullptr ? nullptr : hand_out(block, request);
}

Request CachingAllocator::State::request_of(Bytes bytes, StreamId stream) {
  Request request{.bytes = bytes, .size = round_request(bytes, config), .stream = stream};
  request.pool = request.size <= kSmallLimit ? &small_ : &large_;
  return request;
}

bool CachingAllocator::State::injects_failure() {
  if (failures_ == 0) return false;
  if (before_failure_ > 0) {
    --before_failure_;
    return false;
  }
  --failures_;
  return true;
}

void CachingAllocator::State::inject_failures(std::int64_t first, std::int64_t count) {
  before_failure_ = std::max<std::int64_t>(first, 1) - 1;
  failures_ = std::max<std::int64_t>(count, 0);
}

/// Takes the best fitting block out of its pool. One candidate only: if that one may not be used, none is.
Block* CachingAllocator::State::find_free(const Request& request) {
  BlockSet& free = request.pool->free;
  ++request.pool->searches;
  const auto fits = [&](BlockSet::iterator place) { return place != free.end() && place->stream == request.stream; };
  const auto expandable = [](BlockSet::iterator place) { return place->block->segment->expandable(); };
  auto place = free.lower_bound({.stream = request.stream, .size = request.size});
  if (!fits(place)) return nullptr;

  if (expandable(place)) {
    if (expandable_) {
      // A block at the tail counts with what it can grow to, so closed holes are filled first.
      const auto reach = [](const Block* block) {
        return block->size + (block->next != nullptr && !block->next->mapped ? block->next->size : 0);
      };
      for (auto next = std::next(place); expandable(place) && fits(next) && reach(next->block) < reach(place->block);) {
        place = next++;
      }
    } else {
      while (fits(place) && expandable(place)) ++place;
      if (!fits(place)) return nullptr;
    }
  }

  if (request.size < config.max_split_size) {
    if (place->size >= config.max_split_size) return nullptr;
  } else if (place->size >= request.size + config.max_non_split_rounding) {
    return nullptr;
  }
  Block* block = place->block;
  free.erase(place);
  return block;
}

/// A block from the device, or nullptr. After room was made the device is asked before the pools: this is the behaviour
/// that users' numbers come from. They end with the error, though a block may have come back to its pool meanwhile.
Block* CachingAllocator::State::obtain(const Request& request) {
  if (limited() && config.garbage_collection_threshold > 0) collect_garbage();
  Block* block = new_segment(request);
  if (block == nullptr && release_oversize(request)) block = new_segment(request);
  if (block == nullptr) {
    ledger.marker(kRetryMark);
    release_cached();
    ++statistics.num_alloc_retries;
    block = new_segment(request);
    if (block == nullptr) block = find_free(request);
  }
  return block;
}

Block* CachingAllocator::State::new_segment(const Request& request) {
  if (limited() && statistics.reserved_bytes.all.current + request.segment > allowed_) return nullptr;
  if (expandable_) return grow(request);
  std::byte* data = source->allocate(request.segment);
  if (data == nullptr) return nullptr;
  const Pool& pool = *request.pool;
  const bool oversize = request.segment >= config.max_split_size;
  Block* block = nullptr;
  try {
    block = add_segment(
        {.data = data, .size = request.segment, .stream = request.stream, .pool = request.pool, .oversize = oversize});
  } catch (...) {
    source->free(data, request.segment);
    throw;
  }
  count(&Statistics::segment, pool, 1);
  count(&Statistics::reserved_bytes, pool, block->size);
  if (oversize) statistics.oversize_segments.increase(1);
  ++statistics.num_device_alloc;
  ledger.segment_allocated(block->position, block->size, block->stream);
  return block;
}

bool CachingAllocator::State::splits(const Block& block, const Request& request) const {
  const Bytes rest = block.size - request.size;
  if (request.pool->small || expandable_) return rest >= kMinBlock;
  return request.size < config.max_split_size && rest > kSmallLimit;
}

Block* CachingAllocator::State::hand_out(Block* block, const Request& request) {
  Pool& pool = *request.pool;
  const bool was_split = block->previous != nullptr || block->next != nullptr;
  const bool counts_splits = !block->segment->expandable();
  if (splits(*block, request)) {
    Block* rest = split_off(block, request.size);
    pool.insert(rest);
    if (counts_splits && was_split) {
      discount(&Statistics::inactive_split_bytes, pool, block->size);
    } else if (counts_splits) {
      count(&Statistics::inactive_split, pool, 1);
      count(&Statistics::inactive_split_bytes, pool, rest->size);
    }
  } else if (counts_splits && was_split) {
    discount(&Statistics::inactive_split, pool, 1);
    discount(&Statistics::inactive_split_bytes, pool, block->size);
  }

  block->allocated = true;
  block->requested = request.bytes;
  block->tag = current_tag();
  block->oversize = block->size >= config.max_split_size;
  count(&Statistics::allocation, pool, 1);
  count(&Statistics::allocated_bytes, pool, block->size);
  count(&Statistics::active, pool, 1);
  count(&Statistics::active_bytes, pool, block->size);
  count(&Statistics::requested_bytes, pool, block->requested);
  if (block->oversize) statistics.oversize_allocations.increase(1);
  ledger.allocated(*block);
  return block;
}

void CachingAllocator::State::retag(Block* block, const Tag& tag) {
  const Category before = block->tag.category;
  if (before == tag.category && block->tag.module == tag.module) return;
  block->tag = tag;
  ledger.retagged(*block, before);
}

}  // namespace mnemo::memory
