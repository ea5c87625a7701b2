#include <mnemo/memory/snapshot_past.h>

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

std::uint64_t end_of(std::uint64_t address, Bytes size) { return address + static_cast<std::uint64_t>(size); }

}  // namespace

/// The range that holds all of the place, after joining what touches it; the end when there is none.
SnapshotRanges::Ranges::iterator SnapshotRanges::around(std::uint64_t address, Bytes size) {
  auto range = ranges_.upper_bound(address);
  if (range == ranges_.begin()) return ranges_.end();
  --range;
  if (end_of(range->first, range->second.size) <= address) return ranges_.end();
  while (end_of(range->first, range->second.size) < end_of(address, size)) {
    const auto next = std::next(range);
    if (next == ranges_.end() || next->first != end_of(range->first, range->second.size)) return ranges_.end();
    range->second.size += next->second.size;
    ranges_.erase(next);
  }
  return range;
}

bool SnapshotRanges::add(std::uint64_t address, const Range& range) {
  const auto next = ranges_.upper_bound(address);
  if (next != ranges_.end() && next->first < end_of(address, range.size)) return false;
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (end_of(before->first, before->second.size) > address) return false;
  }
  ranges_.emplace_hint(next, address, range);
  return true;
}

bool SnapshotRanges::remove(std::uint64_t address, Bytes size) {
  const auto range = around(address, size);
  if (range == ranges_.end()) return false;
  const std::uint64_t begin = range->first;
  const Range whole = range->second;
  ranges_.erase(range);
  const Bytes before = static_cast<Bytes>(address - begin);
  const Bytes after = whole.size - before - size;
  if (before > 0) ranges_[begin] = {before, whole.stream, whole.expandable};
  if (after > 0) ranges_[end_of(address, size)] = {after, whole.stream, whole.expandable};
  return true;
}

SnapshotPast::SnapshotPast(const SnapshotFile& file, const std::string& name) {
  for (const SnapshotSegment& segment : file.segments) {
    segments.add(segment.address, {segment.size, segment.stream, segment.expandable});
    for (const SnapshotBlock& block : segment.blocks) {
      blocks[block.address] = {block.size,    block.requested, segment.stream,
                               block.waiting, Category::other, block.frames};
    }
  }
  for (std::size_t i = file.trace.size(); i-- > 0;) {
    try {
      undo(file.trace[i], i);
    } catch (const FileError& error) {
      throw FileError(
          fmt::format("{}: event {} {}. Was recording interrupted? A snapshot holds together when "
                      "torch.cuda.memory._record_memory_history is called once, before it",
                      name, i, error.what()));
    }
  }
}

/// What is at a place is not what was there before: that it came was not recorded.
void SnapshotPast::drop_blocks(std::uint64_t address, Bytes size) {
  const std::uint64_t end = end_of(address, size);
  auto block = blocks.lower_bound(address);
  if (block != blocks.begin()) {
    const auto before = std::prev(block);
    if (end_of(before->first, std::max<Bytes>({before->second.size, before->second.requested, 1})) > address) {
      block = before;
    }
  }
  while (block != blocks.end() && block->first < end) {
    block = blocks.erase(block);
    ++contradictions;
  }
}

void SnapshotPast::undo_alloc(const SnapshotEntry& entry, std::size_t index) {
  const auto block = blocks.find(entry.address);
  if (block == blocks.end()) {
    ++contradictions;  // that it went was not recorded
    return;
  }
  const SnapshotPast::Block& was = block->second;
  // Old snapshots do not say what was requested.
  const bool same = was.requested == entry.size || (was.requested == was.size && was.size > entry.size);
  if (!same || was.waiting) {
    ++contradictions;
  } else if (was.size > 0) {
    sizes.emplace(index, was.size);
  }
  blocks.erase(block);
}

void SnapshotPast::undo_free(const SnapshotEntry& entry) {
  const auto block = blocks.find(entry.address);
  const bool completed = entry.action == SnapshotEntry::Action::free_completed;
  if (!completed && block != blocks.end() && block->second.waiting) {
    block->second.waiting = false;
    if (block->second.category == Category::other) block->second.category = entry.category;
    return;
  }
  // A free of which nothing shows that it completed is one of a block all the same.
  const Bytes size = std::max<Bytes>(entry.size, 1);
  if (!segments.covers(entry.address, size)) {
    throw FileError(fmt::format("frees {} bytes at 0x{:x}, where there was no segment", entry.size, entry.address));
  }
  if (!completed) ++contradictions;
  drop_blocks(entry.address, size);
  blocks[entry.address] = {0, entry.size, entry.stream, completed, entry.category, entry.frames};
}

void SnapshotPast::undo(const SnapshotEntry& entry, std::size_t index) {
  using Action = SnapshotEntry::Action;
  switch (entry.action) {
    case Action::alloc:
      undo_alloc(entry, index);
      break;
    case Action::free_requested:
    case Action::free_completed:
      undo_free(entry);
      break;
    case Action::segment_alloc:
    case Action::segment_map:
      if (!segments.remove(entry.address, entry.size)) {
        throw FileError(
            fmt::format("obtains {} bytes at 0x{:x}, which are neither given back later nor there at the end",
                        entry.size, entry.address));
      }
      drop_blocks(entry.address, entry.size);
      break;
    case Action::segment_free:
    case Action::segment_unmap:
      if (!segments.add(entry.address, {entry.size, entry.stream, entry.action == Action::segment_unmap})) {
        throw FileError(fmt::format("gives back {} bytes at 0x{:x}, where there are some without having been obtained",
                                    entry.size, entry.address));
      }
      break;
    case Action::oom:
    case Action::snapshot:
    case Action::other:
      break;
  }
}

}  // namespace mnemo::memory
