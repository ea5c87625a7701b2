// Blocks and segments as a data structure: making, cutting and joining, with no thought of statistics.
#include <mnemo/memory/state.h>

#include <algorithm>
#include <cassert>
#include <iterator>

namespace mnemo::memory {

/// Makes sure that as many new blocks, and all that the old ones may ever need, take nothing from the heap. What throws
/// throws here, before anything has changed; giving a block back never does.
void CachingAllocator::State::provide(std::size_t blocks) {
  constexpr std::size_t kMore = 64;
  if (spare_blocks_.size() >= blocks) return;
  const std::size_t count = blocks_.size() + blocks + kMore;
  if (spare_blocks_.capacity() < count) spare_blocks_.reserve(2 * count);
  nodes_.provide(count);
  while (blocks_.size() < count) spare_blocks_.push_back(&blocks_.emplace_back());
}

/// REQUIRES: provided for.
Block* CachingAllocator::State::make_block() {
  Block* block = spare_blocks_.back();
  spare_blocks_.pop_back();
  return block;
}

/// REQUIRES: a free block. Only what splitting and adding do not set is reset.
void CachingAllocator::State::recycle(Block* block) {
  assert(!block->allocated && block->pending_events == 0 && block->stream_uses.empty() && block->requested == 0);
  block->previous = block->next = nullptr;
  spare_blocks_.push_back(block);
}

/// Where the source wants the segment, unless another one is there; else behind all that ever were.
std::uint64_t CachingAllocator::State::position_of(const Segment& segment) const {
  const std::optional<std::uint64_t> wanted = source->place(segment.data);
  if (!wanted) return next_position_;
  const auto end = [](std::uint64_t begin, const Segment& one) { return begin + static_cast<std::uint64_t>(one.size); };
  const auto above = segments_.upper_bound(*wanted);
  const bool free = (above == segments_.end() || end(*wanted, segment) <= above->first) &&
                    (above == segments_.begin() || end(std::prev(above)->first, std::prev(above)->second) <= *wanted);
  return free ? *wanted : next_position_;
}

/// Takes the segment in, at its position, with one block that covers it; the block is in no set yet.
Block* CachingAllocator::State::add_segment(Segment segment) {
  segment.position = position_of(segment);
  Segment& place = segments_.emplace(segment.position, segment).first->second;
  next_position_ = std::max(next_position_, segment.position + static_cast<std::uint64_t>(segment.size));
  Block* block = make_block();
  place.first = block;
  block->data = segment.data;
  block->size = segment.size;
  block->position = segment.position;
  block->stream = segment.stream;
  block->pool = segment.pool;
  block->mapped = !segment.expandable();
  block->segment = &place;
  return block;
}

void CachingAllocator::State::remove_segment(const Segment& segment) {
  recycle(segment.first);
  segments_.erase(segment.position);
}

/// Cuts `block` so that it keeps its first `size` bytes; the returned neighbour has the rest. No sets are touched.
Block* CachingAllocator::State::split_off(Block* block, Bytes size) {
  assert(size > 0 && size < block->size);
  Block* rest = make_block();
  rest->data = block->data + size;
  rest->size = block->size - size;
  rest->position = block->position + static_cast<std::uint64_t>(size);
  rest->stream = block->stream;
  rest->pool = block->pool;
  rest->segment = block->segment;
  rest->mapped = block->mapped;
  rest->previous = block;
  rest->next = block->next;
  if (rest->next != nullptr) rest->next->previous = rest;
  block->next = rest;
  block->size = size;
  return rest;
}

/// Joins `block`, which is in no set, with the neighbours that are free as it is; the lower block stays.
CachingAllocator::State::Joined CachingAllocator::State::join_neighbours(Block* block) {
  const auto joinable = [&](const Block* other) {
    return other != nullptr && !other->allocated && other->pending_events == 0 && other->stream_uses.empty() &&
           other->mapped == block->mapped;
  };
  Joined result{block};
  const auto absorb = [&](Block* lower, Block* upper, Block* other) {
    ++result.count;
    result.bytes += other->size;
    lower->pool->remove(other);
    lower->size += upper->size;
    lower->next = upper->next;
    if (lower->next != nullptr) lower->next->previous = lower;
    recycle(upper);
    result.block = lower;
  };
  if (joinable(block->next)) absorb(block, block->next, block->next);
  if (joinable(block->previous)) absorb(block->previous, block, block->previous);
  return result;
}

}  // namespace mnemo::memory
