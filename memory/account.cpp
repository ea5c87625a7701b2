#include <mnemo/memory/account.h>

#include <algorithm>

namespace mnemo::memory {

namespace {

/// Segments without a block in them.
Bytes empty_segments(const LiveState& state) {
  Bytes bytes = 0;
  for (const auto& [position, segment] : state.segments()) {
    const auto block = state.blocks().lower_bound(position);
    const std::uint64_t end = position + static_cast<std::uint64_t>(segment.size);
    if (block == state.blocks().end() || block->first >= end) bytes += segment.size;
  }
  return bytes;
}

}  // namespace

Held& Held::operator+=(const Held& other) {
  bytes += other.bytes;
  requested += other.requested;
  count += other.count;
  return *this;
}

Bytes Account::requested() const {
  Bytes sum = 0;
  for (const auto& [holder, held] : holders) sum += held.requested;
  return sum;
}

Account account_of(const Timeline& timeline) {
  Account account;
  account.event = timeline.index();
  if (account.event >= 0) {
    const Tag& tag = timeline.event().tag;
    account.phase = tag.phase;
    account.op = tag.op;
    account.module = tag.module;
    account.step = tag.step;
  }
  account.allocated = timeline.allocated();
  account.reserved = timeline.reserved();
  account.categories = timeline.categories();
  account.cached_segments = empty_segments(timeline.state());
  for (const auto& [position, block] : timeline.state().blocks()) {
    if (block.waiting)
      account.waiting += block.size;
    else
      account.holders[{block.tag.category, block.tag.module, block.tag.op}] += {block.size, block.requested, 1};
  }
  return account;
}

Account account_at(const Recording& recording, std::int64_t event) {
  Timeline timeline(recording);
  timeline.seek(event);
  return account_of(timeline);
}

}  // namespace mnemo::memory
