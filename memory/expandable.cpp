// Expandable segments: address ranges as large as the device, whose memory is mapped and unmapped in pages.
#include <mnemo/memory/state.h>

#include <algorithm>
#include <cassert>

#include <mnemo/memory/rounding.h>

namespace mnemo::memory {
namespace {

/// Address space for a device that has no limit to take 9/8 of.
constexpr Bytes kUnlimitedRange = 1024 * GiB;

bool usable(const Block* block) {
  return block != nullptr && !block->allocated && block->pending_events == 0 && block->stream_uses.empty();
}

}  // namespace

/// A free block of at least the request's size, in no set, with memory newly mapped where it was missing.
Block* CachingAllocator::State::grow(const Request& request) {
  Block* block = find_growable(request);
  if (block == nullptr) return nullptr;
  if (!block->mapped) block = map(block, std::min(block->size, request.size));
  while (block != nullptr && block->size < request.size) {
    // What follows is unmapped; once mapped it joins with `block`.
    block = map(block->next, std::min(block->next->size, request.size - block->size));
  }
  // Pieces that were mapped before one could not be stay in the pool.
  if (block != nullptr) request.pool->remove(block);
  return block;
}

/// The lowest place of the stream where free and unmapped blocks in a row have room for the request, or a new range.
Block* CachingAllocator::State::find_growable(const Request& request) {
  Pool& pool = *request.pool;
  for (auto place = pool.unmapped.lower_bound({.stream = request.stream});
       place != pool.unmapped.end() && place->stream == request.stream; ++place) {
    Block* start = usable(place->block->previous) ? place->block->previous : place->block;
    Bytes room = 0;
    for (const Block* block = start; room < request.size && usable(block); block = block->next) room += block->size;
    if (room >= request.size) return start;
  }

  const Bytes page = pool.small ? kSmallSegment : config.large_segment_size;
  const Bytes capacity = source->capacity();
  const Bytes room = capacity > 0 ? capacity + capacity / 8 : std::max(kUnlimitedRange, request.size);
  const Bytes size = round_up(room, page);
  if (size < request.size) return nullptr;
  std::byte* data = source->reserve_range(size);
  if (data == nullptr) return nullptr;
  Block* block = nullptr;
  try {
    block = add_segment({.data = data, .size = size, .stream = request.stream, .pool = request.pool, .page = page});
  } catch (...) {
    source->release_range(data, size);
    throw;
  }
  pool.insert(block);
  return block;
}

/// Puts memory behind the first `bytes` of an unmapped block, in whole pages, and joins it with its free neighbours.
/// The result is in the pool's free set; nullptr when the device has no room.
Block* CachingAllocator::State::map(Block* block, Bytes bytes) {
  assert(!block->mapped && bytes > 0 && bytes <= block->size);
  Pool& pool = *block->pool;
  const Bytes size = round_up(bytes, block->segment->page);
  if (!source->map(block->data, size)) return nullptr;
  const std::uint64_t position = block->position;
  pool.remove(block);
  if (size < block->size) pool.insert(split_off(block, size));
  block->mapped = true;
  block = join_neighbours(block).block;
  pool.insert(block);
  count(&Statistics::reserved_bytes, pool, size);
  ++statistics.num_device_alloc;
  ledger.segment_allocated(position, size, block->stream);
  return block;
}

/// Takes the memory away from the pages that lie wholly inside a free block; the edges stay as free blocks.
/// A range without any memory left is given back.
void CachingAllocator::State::unmap_whole_pages(Block* block) {
  Pool& pool = *block->pool;
  const Segment& segment = *block->segment;
  const Bytes offset = static_cast<Bytes>(block->position - segment.position);
  const Bytes begin = round_up(offset, segment.page);
  const Bytes end = (offset + block->size) / segment.page * segment.page;
  if (begin >= end) return;

  pool.remove(block);
  if (begin > offset) {
    Block* front = block;
    block = split_off(front, begin - offset);
    pool.insert(front);
  }
  if (end - begin < block->size) pool.insert(split_off(block, end - begin));
  source->wait(source->record(block->stream));
  source->unmap(block->data, block->size);
  const std::uint64_t position = block->position;
  const Bytes size = block->size;
  block->mapped = false;
  block = join_neighbours(block).block;
  discount(&Statistics::reserved_bytes, pool, size);
  ++statistics.num_device_free;

  const StreamId stream = segment.stream;
  if (block->size == segment.size) {
    source->release_range(segment.data, segment.size);
    remove_segment(Segment(segment));
  } else {
    pool.insert(block);
  }
  ledger.segment_freed(position, size, stream);
}

}  // namespace mnemo::memory
