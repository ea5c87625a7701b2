#include <mnemo/memory/segments_before.h>

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/rounding.h>
#include <mnemo/memory/timeline.h>

namespace mnemo::memory {
namespace {

using Kind = Call::Kind;

constexpr Bytes kMostFillers = 4 * 1024 * 1024;  // of 1 MiB each: more than devices have

class Rebuild {
 public:
  Rebuild(const LiveState& state, const std::vector<Call>& alive, const AllocatorConfig& config,
          std::uint32_t& next_block)
      : state_(state), config_(config), next_block_(next_block) {
    auto call = alive.begin();
    for (const auto& [position, block] : state.blocks()) blocks_[position] = {&*call++, block.size};
  }

  std::vector<Call> plain() {
    for (const auto& [begin, segment] : state_.segments()) {
      start(segment.stream, is_small(begin, segment));
      // One block as large as the segment makes it; a small segment has room for two.
      calls_.push_back(malloc(small_ ? std::min(kSmallLimit, segment.size) : segment.size));
      fill_piece(begin, segment);
    }
    return finish();
  }

  /// Of each pool and stream first all addresses from the lowest on, of which those that have no memory go again.
  std::vector<Call> expandable(const Recording& recording) {
    std::map<std::pair<StreamId, bool>, Range> ranges;
    for (const auto& [begin, segment] : state_.segments()) {
      Range& range = ranges[{segment.stream, is_small(begin, segment)}];
      if (range.pieces.empty()) range.lowest = begin;
      range.pieces.emplace_back(begin, &segment);
    }
    Timeline timeline(recording);
    while (timeline.next()) {
      const Event& event = timeline.event();
      if (event.kind != EventKind::segment_alloc) continue;
      const auto range = ranges.find({event.stream, event.size == kSmallSegment});
      if (range != ranges.end()) range->second.lowest = std::min(range->second.lowest, event.position);
    }
    for (const auto& [of, range] : ranges) {
      start(of.first, of.second);
      std::uint64_t at = range.lowest;
      std::vector<Call> all;
      const auto& [last, segment] = range.pieces.back();
      fill(static_cast<Bytes>(last - at) + segment->size, all);
      calls_.insert(calls_.end(), all.begin(), all.end());
      for (const auto& [begin, piece] : range.pieces) {
        if (begin > at) fill(static_cast<Bytes>(begin - at), gaps_);
        at = begin + static_cast<std::uint64_t>(piece->size);
        fill_piece(begin, *piece);
      }
    }
    return finish();
  }

 private:
  struct Range {
    std::uint64_t lowest = 0;
    std::vector<std::pair<std::uint64_t, const LiveSegment*>> pieces;
  };
  struct Alive {
    const Call* call = nullptr;
    Bytes size = 0;
  };

  bool is_small(std::uint64_t begin, const LiveSegment& segment) const {
    if (segment.size == kSmallSegment) return true;
    // Pages of large ranges are larger than any of a small one.
    if (config_.expandable_segments && segment.size % config_.large_segment_size != 0) return true;
    const auto block = blocks_.lower_bound(begin);
    return block != blocks_.end() && block->first < begin + static_cast<std::uint64_t>(segment.size) &&
           block->second.size <= kSmallLimit;
  }

  void start(StreamId stream, bool small) {
    stream_ = stream;
    small_ = small;
    rest_ = 0;
  }

  /// Allocates; the call that frees it again.
  Call malloc(Bytes bytes) {
    calls_.push_back({.kind = Kind::malloc, .block = next_block_++, .bytes = bytes, .stream = stream_});
    return {.kind = Kind::free, .block = calls_.back().block};
  }

  /// Takes what is free, or, of large ones, so much of it that nothing else fits; the rest goes with what comes next.
  void fill(Bytes bytes, std::vector<Call>& frees) {
    if (small_ && bytes / kSmallLimit > kMostFillers)
      throw FileError(fmt::format("a segment for small blocks with {} bytes free: no device has that", bytes));
    for (; small_ && bytes > 0; bytes -= kSmallLimit) frees.push_back(malloc(std::min(bytes, kSmallLimit)));
    if (small_) return;
    const bool enough = rest_ + bytes > kSmallLimit;
    if (enough) frees.push_back(malloc(rest_ + bytes));
    rest_ = enough ? 0 : rest_ + bytes;
  }

  void fill_piece(std::uint64_t begin, const LiveSegment& segment) {
    const std::uint64_t end = begin + static_cast<std::uint64_t>(segment.size);
    std::uint64_t at = begin;
    for (auto block = blocks_.lower_bound(begin); block != blocks_.end() && block->first < end; ++block) {
      fill(static_cast<Bytes>(block->first - at), fillers_);
      rest_ = 0;
      calls_.push_back(*block->second.call);
      calls_.back().bytes = block->second.size;
      at = block->first + static_cast<std::uint64_t>(block->second.size);
    }
    fill(static_cast<Bytes>(end - at), fillers_);
  }

  std::vector<Call> finish() {
    calls_.insert(calls_.end(), gaps_.begin(), gaps_.end());
    // While all else is taken, this gives back the gaps alone.
    if (!gaps_.empty()) calls_.push_back({.kind = Kind::empty_cache});
    calls_.insert(calls_.end(), fillers_.begin(), fillers_.end());
    return std::move(calls_);
  }

  const LiveState& state_;
  const AllocatorConfig& config_;
  std::uint32_t& next_block_;
  std::map<std::uint64_t, Alive> blocks_;
  StreamId stream_ = 0;  // of the segment at hand
  bool small_ = false;
  Bytes rest_ = 0;  // free before what comes next
  std::vector<Call> calls_, gaps_, fillers_;
};

}  // namespace

std::vector<Call> calls_for_segments(const LiveState& state, const std::vector<Call>& alive, const Recording& recording,
                                     const AllocatorConfig& config, std::uint32_t& next_block) {
  Rebuild rebuild(state, alive, config, next_block);
  return config.expandable_segments ? rebuild.expandable(recording) : rebuild.plain();
}

}  // namespace mnemo::memory
