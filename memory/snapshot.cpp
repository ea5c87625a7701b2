// The allocator described: every segment and block, and what an OutOfMemory has to say.
#include <mnemo/memory/state.h>

#include <algorithm>
#include <string_view>

#include <mnemo/memory/rounding.h>

namespace mnemo::memory {
namespace {

/// By text: the same name from two places may have two addresses.
bool same_holder(const Tag& a, const Tag& b) {
  return a.category == b.category && a.phase == b.phase && a.step == b.step &&
         std::string_view(a.op) == std::string_view(b.op) && std::string_view(a.module) == std::string_view(b.module);
}

}  // namespace

std::vector<SegmentView> CachingAllocator::State::snapshot() const {
  std::vector<SegmentView> views;
  for (const auto& [position, segment] : segments_) {
    bool contiguous = false;  // each mapped stretch of an expandable range is a segment of its own
    for (const Block* block = segment.first; block != nullptr; block = block->next) {
      if (!block->mapped) {
        contiguous = false;
        continue;
      }
      if (!contiguous) {
        views.push_back({block->position, 0, segment.stream, segment.pool->small, segment.expandable(), {}});
        contiguous = true;
      }
      BlockView view;
      view.position = block->position;
      view.size = block->size;
      if (block->allocated || block->pending_events > 0) {
        view.state = block->allocated ? BlockView::State::active : BlockView::State::pending_free;
        view.requested = block->requested;
        view.tag = block->tag;
      }
      views.back().size += block->size;
      views.back().blocks.push_back(view);
    }
  }
  return views;
}

OutOfMemory::Details CachingAllocator::State::shortage(Bytes bytes, StreamId stream) {
  const bool absurd = bytes < 0 || bytes >= kTooLarge;
  Request request = absurd ? Request{.bytes = bytes, .segment = bytes, .stream = stream, .pool = &large_}
                           : request_of(bytes, stream);
  if (!absurd) request.segment = segment_bytes(request.size, config);

  OutOfMemory::Details details;
  details.device = device_;
  details.injected = injected_;
  details.requested = request.bytes;
  details.segment = request.segment;
  details.allocated = statistics.allocated_bytes.all.current;
  details.reserved = statistics.reserved_bytes.all.current;
  details.capacity = source->capacity();
  details.free = source->free_bytes();
  details.context = source->context_bytes();
  details.others = source->others_bytes();
  if (limited()) {
    details.capacity = std::max<Bytes>(1, allowed_);  // 0 would say unlimited
    details.free = std::min(details.free, std::max<Bytes>(0, allowed_ - details.reserved));
  }
  details.tag = current_tag();
  details.categories = ledger.categories();

  Bytes cached = 0;
  Bytes largest = 0;
  for (const Pool* pool : {&large_, &small_}) {
    for (const BlockKey& key : pool->free) {
      cached += key.size;
      largest = std::max(largest, key.size);
      if (pool == request.pool && key.stream == request.stream) {
        details.largest_free_block = std::max(details.largest_free_block, key.size);
      }
    }
  }
  if (cached > 0) details.fragmentation = 1 - static_cast<double>(largest) / static_cast<double>(cached);

  auto& holders = details.top_holders;
  for (const auto& [position, segment] : segments_) {
    for (const Block* block = segment.first; block != nullptr; block = block->next) {
      if (!block->allocated) continue;
      const auto holder = std::find_if(holders.begin(), holders.end(),
                                       [&](const auto& known) { return same_holder(known.tag, block->tag); });
      if (holder != holders.end()) {
        holder->bytes += block->size;
      } else {
        holders.push_back({block->tag, block->size});
      }
    }
  }
  std::stable_sort(holders.begin(), holders.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  if (holders.size() > 5) holders.resize(5);
  return details;
}

void CachingAllocator::State::fail(OutOfMemory::Details details, StreamId stream) {
  ++statistics.num_ooms;
  ledger.out_of_memory(details.requested, details.segment, stream);
  throw OutOfMemory(std::move(details));
}

}  // namespace mnemo::memory
