// From what happened to memory back to the calls that made it happen.
#include <mnemo/memory/call_trace.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/marks.h>
#include <mnemo/memory/rounding.h>
#include <mnemo/memory/segments_before.h>
#include <mnemo/memory/timeline.h>

namespace mnemo::memory {
namespace {

using Kind = Call::Kind;

constexpr StreamId kFirstWait = StreamId{1} << 62;  // above any address, which is what streams are elsewhere

/// A tag's place in a map; equal texts of a recording have equal addresses.
struct TagKey {
  Tag tag;
  bool operator==(const TagKey& other) const {
    return tag.category == other.tag.category && tag.phase == other.tag.phase && tag.op == other.tag.op &&
           tag.module == other.tag.module && tag.step == other.tag.step;
  }
};
struct TagHash {
  std::size_t operator()(const TagKey& key) const {
    std::size_t hash = static_cast<std::size_t>(key.tag.step) * 64 + static_cast<std::size_t>(key.tag.category) * 8 +
                       static_cast<std::size_t>(key.tag.phase);
    for (const char* text : {key.tag.op, key.tag.module}) {
      hash = (hash ^ reinterpret_cast<std::uintptr_t>(text)) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

class CallReader {
 public:
  explicit CallReader(const Recording& recording) : timeline_(recording) {
    trace_.recording = recording;
    for (const auto& [key, value] : recording.header().metadata) trace_.imported |= key == "imported";
    config_ = trace_.config();
    room_ = trace_.capacity() > 0 ? trace_.capacity() - trace_.context() : std::numeric_limits<Bytes>::max();
    if (config_.memory_fraction < 1 && trace_.capacity() > 0) {
      room_ = std::min(room_, static_cast<Bytes>(config_.memory_fraction * static_cast<double>(trace_.capacity())));
    }
  }

  CallTrace read() {
    begin();
    while (timeline_.next()) take(timeline_.event());
    finish_free(false);
    outside();
    assign_waits();
    trace_.blocks = blocks_;
    warn();
    return std::move(trace_);
  }

 private:
  CallTrace::Totals now() const { return {timeline_.allocated(), timeline_.reserved()}; }

  std::uint32_t number(const Tag& tag) {
    const auto [place, fresh] = tags_.try_emplace(TagKey{tag}, static_cast<std::uint32_t>(trace_.tags.size()));
    if (fresh) trace_.tags.push_back(tag);
    return place->second;
  }
  std::uint32_t new_block(std::uint64_t position) {
    if (blocks_ == std::numeric_limits<std::uint32_t>::max()) throw Error("a trace of more than 2^32 blocks");
    alive_[position] = blocks_;
    return blocks_++;
  }

  void add(const Call& call, CallTrace::Totals after) {
    trace_.calls.push_back(call);
    trace_.totals.push_back(after);
  }

  /// What was alive before the first event, as calls: blocks alone, and with all that lay between them.
  void begin() {
    trace_.before = now();
    const LiveState& state = timeline_.state();
    for (const auto& [position, segment] : state.segments()) trace_.segments.push_back({segment.size, position});
    for (const auto& [position, block] : state.blocks()) {
      const Bytes bytes = block.requested > 0 ? block.requested : block.size;
      const std::uint32_t known = new_block(position);
      trace_.blocks_before.push_back(
          {.kind = Kind::malloc, .block = known, .tag = number(block.tag), .bytes = bytes, .stream = block.stream});
      if (!block.waiting) continue;
      waits_[position] = waited_.size();
      waited_.push_back({known, static_cast<std::size_t>(-1), kNever});
    }
    trace_.segments_before = calls_for_segments(state, trace_.blocks_before, *trace_.recording, config_, blocks_);
  }

  void take(const Event& event) {
    switch (event.kind) {
      case EventKind::free_completed:
        if (finish_free(true, event.position)) return;
        if (const auto wait = waits_.find(event.position); wait != waits_.end()) {
          group_.completed.push_back({waited_[wait->second].block, event.position});
          waited_[wait->second].until = trace_.calls.size();
          waits_.erase(wait);
        }
        group_.totals = now();
        return;
      case EventKind::segment_free:
        finish_free(false);
        if (group_.freed == 0) group_.reserved = timeline_.reserved() + event.size;
        group_.freed += event.size;
        group_.segments.push_back({event.position, event.size, event.stream});
        group_.totals = now();
        return;
      case EventKind::segment_alloc:
        finish_free(false);
        group_.obtained += event.size;
        trace_.segments.push_back({event.size, event.position});
        return;
      case EventKind::alloc:
      case EventKind::oom:
        finish_free(false);
        return take_malloc(event);
      case EventKind::free_requested:
        finish_free(false);
        outside();
        freed_ = event.position;
        add({.kind = Kind::free, .block = alive_.at(event.position)}, now());
        alive_.erase(event.position);
        return;
      case EventKind::retag:
        finish_free(false);
        outside();
        add({.kind = Kind::retag, .block = alive_.at(event.position), .tag = number(event.tag)}, now());
        return;
      case EventKind::marker:
        finish_free(false);
        return take_marker(event.tag.op);
    }
  }

  /// The free before this event: whether its block was completed at once. Otherwise it waits for another stream.
  bool finish_free(bool completed, std::uint64_t position = 0) {
    if (!freed_) return false;
    const std::uint64_t before = *freed_;
    freed_.reset();
    if (completed && position == before) return true;
    const Call free = trace_.calls.back();
    const CallTrace::Totals after = trace_.totals.back();
    const CallTrace::Totals at_record = trace_.totals.size() > 1 ? trace_.totals.end()[-2] : trace_.before;
    trace_.calls.back() = {.kind = Kind::record_stream, .block = free.block};
    trace_.totals.back() = at_record;
    waits_[before] = waited_.size();
    waited_.push_back({free.block, trace_.calls.size() - 1, kNever});
    add(free, after);
    return false;
  }

  void complete_all(CallTrace::Totals after) {
    for (const auto& [block, position] : group_.completed) add({.kind = Kind::complete, .block = block}, after);
    group_.completed.clear();
  }
  void complete_all() {
    complete_all({group_.totals.allocated, group_.freed > 0 ? group_.reserved : group_.totals.reserved});
  }

  /// What happened since the latest call was not part of a malloc.
  void outside() {
    complete_all();
    if (group_.freed > 0 || group_.called) add({.kind = Kind::empty_cache}, group_.totals);
    group_ = {};
  }

  void take_marker(std::string_view text) {
    if (text == kRetryMark) {
      complete_all();  // those before it were there when the request looked for a block
      group_.retried = true;
      return;
    }
    outside();
    group_.called = text == kEmptyCacheMark;
    says_so_ |= group_.called;
    group_.totals = now();
  }

  /// Whether memory was given back by the allocator itself, as it does only for a request that finds no room.
  bool gave_back(const Event& request) const {
    if (group_.freed == 0 || request.requested < 0 || request.requested >= kTooLarge) return false;
    if (request.kind == EventKind::alloc) {
      const bool collects = config_.garbage_collection_threshold > 0 && config_.memory_fraction < 1;
      if (group_.obtained == 0 || (!collects && group_.reserved <= room_ - group_.obtained)) return false;
    }
    const Bytes size = round_request(std::max<Bytes>(request.requested, 1), config_);
    return std::none_of(group_.segments.begin(), group_.segments.end(), [&](const Freed& segment) {
      if (segment.stream != request.stream || segment.size < size) return false;
      if ((size <= kSmallLimit) != (segment.size == kSmallSegment)) return false;
      if (size < config_.max_split_size ? segment.size >= config_.max_split_size
                                        : segment.size >= size + config_.max_non_split_rounding) {
        return false;
      }
      // It would have taken this one, unless that was still waited for.
      return std::none_of(group_.completed.begin(), group_.completed.end(), [&](const Completed& block) {
        return block.position >= segment.position &&
               block.position < segment.position + static_cast<std::uint64_t>(segment.size);
      });
    });
  }

  void take_malloc(const Event& event) {
    const bool failed = event.kind == EventKind::oom;
    const bool by_itself = group_.retried || (!group_.called && (says_so_ ? group_.freed > 0 : gave_back(event)));
    if (group_.called || (group_.freed > 0 && !by_itself)) {
      guessed_ += !group_.called && group_.obtained > 0 && trace_.capacity() == 0 ? 1 : 0;
      complete_all();
      add({.kind = Kind::empty_cache}, group_.totals);
    } else if (!by_itself) {
      complete_all();
    }
    if (!failed) follow(event.tag);
    const auto block = failed ? blocks_++ : new_block(event.position);
    add({.kind = failed ? Kind::attempt : Kind::malloc,
         .block = block,
         .tag = number(event.tag),
         .bytes = event.requested > 0 ? event.requested : std::max<Bytes>(event.size, 1),
         .stream = event.stream},
        now());
    // What it waited for by itself must not be there before it looks.
    complete_all(now());
    failed_ += failed ? 1 : 0;
    group_ = {};
  }

  void follow(const Tag& tag) {
    const std::vector<CallTrace::Stretch>& known = trace_.stretches;
    if (!known.empty() && known.back().step == tag.step && known.back().phase == tag.phase) return;
    trace_.stretches.push_back({trace_.calls.size(), tag.step, tag.phase});
  }

  /// As few streams as can end in the order in which the waits did: of one stream's, none ends before an earlier one.
  void assign_waits() {
    std::multimap<std::size_t, StreamId> ends;
    StreamId next = kFirstWait;
    const auto assign = [&](std::size_t until) {
      auto place = ends.upper_bound(until);
      const StreamId stream = place == ends.begin() ? next++ : std::prev(place)->second;
      if (place != ends.begin()) ends.erase(std::prev(place));
      ends.emplace(until, stream);
      return stream;
    };
    for (const Wait& wait : waited_) {
      const StreamId stream = assign(wait.until);
      if (wait.call != static_cast<std::size_t>(-1)) {
        trace_.calls[wait.call].stream = stream;
        continue;
      }
      for (std::vector<Call>* calls : {&trace_.blocks_before, &trace_.segments_before}) {
        calls->push_back({.kind = Kind::record_stream, .block = wait.block, .stream = stream});
        calls->push_back({.kind = Kind::free, .block = wait.block});
      }
    }
  }

  void warn() {
    const Recording& recording = *trace_.recording;
    if (recording.dropped() > 0) {
      trace_.warnings.push_back(
          fmt::format("the first {} events were dropped: the trace begins in the middle, with {} "
                      "blocks alive",
                      recording.dropped(), trace_.blocks_before.size()));
    } else if (!trace_.blocks_before.empty()) {
      trace_.warnings.push_back(
          fmt::format("the trace begins with {} blocks alive, allocated first", trace_.blocks_before.size()));
    }
    if (recording.truncated()) trace_.warnings.push_back("the recording was cut off; its last events are not there");
    if (failed_ > 0) {
      trace_.warnings.push_back(fmt::format(
          "{} requests failed when this was recorded; where one does not, its block is freed at once", failed_));
    }
    if (guessed_ > 0) {
      trace_.warnings.push_back(
          fmt::format("{} times memory was given back right before more was obtained, and the device's capacity is not "
                      "known: taken for empty_cache, though a full device looks the same",
                      guessed_));
    }
  }

  static constexpr std::size_t kNever = static_cast<std::size_t>(-1);
  struct Wait {
    std::uint32_t block = 0;
    std::size_t call = 0;   // its record_stream; the largest number: before the trace
    std::size_t until = 0;  // the call before which it ended
  };
  struct Completed {
    std::uint32_t block = 0;
    std::uint64_t position = 0;
  };
  struct Freed {
    std::uint64_t position = 0;
    Bytes size = 0;
    StreamId stream = 0;
  };
  /// What happened since the latest call.
  struct Group {
    std::vector<Completed> completed;
    std::vector<Freed> segments;
    Bytes reserved = 0;  // before the first memory was given back
    Bytes freed = 0;
    Bytes obtained = 0;
    bool called = false;       // empty_cache
    bool retried = false;      // the device was full
    CallTrace::Totals totals;  // after what was given back
  };

  CallTrace trace_;
  Timeline timeline_;
  AllocatorConfig config_;
  Bytes room_ = 0;  // that the device has
  std::unordered_map<TagKey, std::uint32_t, TagHash> tags_;
  std::unordered_map<std::uint64_t, std::uint32_t> alive_;  // by position
  std::unordered_map<std::uint64_t, std::size_t> waits_;    // by position: freed, not yet completed
  std::vector<Wait> waited_;                                // in the order of their frees
  std::optional<std::uint64_t> freed_;                      // by the event before
  std::uint32_t blocks_ = 0;
  Group group_;
  bool says_so_ = false;  // the recording has marks of empty_cache
  std::int64_t failed_ = 0;
  std::int64_t guessed_ = 0;
};

}  // namespace

AllocatorConfig CallTrace::config() const {
  return recording ? AllocatorConfig::parse(recording->header().allocator) : AllocatorConfig();
}

Bytes CallTrace::capacity() const { return recording ? recording->header().capacity : 0; }

Bytes CallTrace::context() const { return recording ? recording->header().context.value_or(0) : 0; }

CallTrace calls_of(const Recording& recording) { return CallReader(recording).read(); }

}  // namespace mnemo::memory
