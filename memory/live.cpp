#include <mnemo/memory/live.h>

#include <iterator>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

constexpr std::uint64_t kMostPosition = std::uint64_t{1} << 61;  // sums of positions and sizes cannot overflow

void check_place(const Event& event) {
  if (event.position > kMostPosition || event.size <= 0 || static_cast<std::uint64_t>(event.size) > kMostPosition) {
    throw FileError(
        fmt::format("{} of {} bytes at {} is no place in memory", name(event.kind), event.size, event.position));
  }
}

std::uint64_t end_of(std::uint64_t position, Bytes size) { return position + static_cast<std::uint64_t>(size); }

/// The entry of `places` that begins at `position` or before it, or the end.
template <class Map>
auto at_or_before(Map& places, std::uint64_t position) {
  auto place = places.upper_bound(position);
  return place == places.begin() ? places.end() : std::prev(place);
}

}  // namespace

bool LiveState::block_within(std::uint64_t position, Bytes size) const {
  const auto last = at_or_before(blocks_, end_of(position, size) - 1);
  return last != blocks_.end() && end_of(last->first, last->second.size) > position;
}

/// The segment that holds the whole place, after joining what touches it; the end when memory is missing there.
LiveState::Segments::iterator LiveState::segment_around(std::uint64_t position, Bytes size) {
  const auto segment = at_or_before(segments_, position);
  if (segment == segments_.end()) return segment;
  const std::uint64_t end = end_of(position, size);
  if (end_of(segment->first, segment->second.size) <= position) return segments_.end();
  while (end_of(segment->first, segment->second.size) < end) {
    const auto next = std::next(segment);
    if (next == segments_.end() || next->first != end_of(segment->first, segment->second.size)) return segments_.end();
    segment->second.size += next->second.size;
    segments_.erase(next);
    expandable_ = true;
  }
  return segment;
}

void LiveState::allocate(const Event& event, std::int64_t index) {
  check_place(event);
  if (segment_around(event.position, event.size) == segments_.end()) {
    throw FileError(fmt::format("allocates {} bytes at {}, where there is no segment", event.size, event.position));
  }
  if (block_within(event.position, event.size)) {
    throw FileError(fmt::format("allocates {} bytes at {}, where a block is in use", event.size, event.position));
  }
  blocks_[event.position] = {event.size, event.requested, event.stream, event.tag, index, false};
  allocated_ += event.size;
  categories_[static_cast<std::size_t>(event.tag.category)] += event.size;
}

void LiveState::add_segment(const Event& event) {
  check_place(event);
  const auto last = at_or_before(segments_, end_of(event.position, event.size) - 1);
  if (last != segments_.end() && end_of(last->first, last->second.size) > event.position) {
    throw FileError(fmt::format("obtains a segment at {}, where there is one", event.position));
  }
  segments_[event.position] = {event.size, event.stream};
  reserved_ += event.size;
}

void LiveState::remove_segment(const Event& event) {
  check_place(event);
  const auto segment = segment_around(event.position, event.size);
  if (segment == segments_.end() || block_within(event.position, event.size)) {
    throw FileError(
        fmt::format("gives back {} bytes at {}, which are not there or in use", event.size, event.position));
  }
  const std::uint64_t begin = segment->first;
  const LiveSegment whole = segment->second;
  const Bytes before = static_cast<Bytes>(event.position - begin);
  const Bytes after = whole.size - before - event.size;
  segments_.erase(segment);
  if (before > 0) segments_[begin] = {before, whole.stream};
  if (after > 0) segments_[end_of(event.position, event.size)] = {after, whole.stream};
  if (before > 0 || after > 0) expandable_ = true;
  reserved_ -= event.size;
}

LiveBlock& LiveState::block_of(const Event& event, bool waiting) {
  const auto found = blocks_.find(event.position);
  if (found == blocks_.end() || found->second.waiting != waiting) {
    throw FileError(fmt::format("{} at {}, where there is no such block", name(event.kind), event.position));
  }
  return found->second;
}

void LiveState::apply(Event& event, std::int64_t index) {
  const auto complete = [&](const LiveBlock& block) {
    event.size = block.size;
    event.requested = block.requested;
    event.stream = block.stream;
  };
  switch (event.kind) {
    case EventKind::alloc:
      allocate(event, index);
      break;
    case EventKind::free_requested: {
      LiveBlock& block = block_of(event, false);
      complete(block);
      event.tag = block.tag;
      block.waiting = true;
      allocated_ -= block.size;
      categories_[static_cast<std::size_t>(block.tag.category)] -= block.size;
      break;
    }
    case EventKind::free_completed: {
      const LiveBlock& block = block_of(event, true);
      complete(block);
      event.tag = block.tag;
      blocks_.erase(event.position);
      break;
    }
    case EventKind::retag: {
      LiveBlock& block = block_of(event, false);
      complete(block);
      event.before = block.tag.category;
      block.tag = event.tag;
      categories_[static_cast<std::size_t>(event.before)] -= block.size;
      categories_[static_cast<std::size_t>(event.tag.category)] += block.size;
      break;
    }
    case EventKind::segment_alloc:
      add_segment(event);
      break;
    case EventKind::segment_free:
      remove_segment(event);
      break;
    case EventKind::oom:
    case EventKind::marker:
      break;
  }
  event.allocated = allocated_;
  event.reserved = reserved_;
}

std::vector<Event> LiveState::events() const {
  std::vector<Event> events;
  events.reserve(segments_.size() + blocks_.size());
  for (const auto& [position, segment] : segments_) {
    events.push_back({.kind = EventKind::segment_alloc,
                      .position = position,
                      .size = segment.size,
                      .stream = segment.stream,
                      .tag = {}});
  }
  for (const auto& [position, block] : blocks_) {
    Event event{.kind = EventKind::alloc,
                .position = position,
                .size = block.size,
                .requested = block.requested,
                .stream = block.stream,
                .tag = block.tag};
    events.push_back(event);
    if (!block.waiting) continue;
    event.kind = EventKind::free_requested;
    events.push_back(event);
  }
  return events;
}

}  // namespace mnemo::memory
