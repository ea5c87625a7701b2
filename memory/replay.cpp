#include <mnemo/memory/replay.h>

#include <algorithm>
#include <istream>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/allocator.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/recorder.h>

namespace mnemo::memory {
namespace {

using Kind = Call::Kind;

/// A virtual device of which each event can be said to be done, and whose segments can be placed as others were.
class ReplaySource final : public Source {
 public:
  ReplaySource(Bytes capacity, Bytes context)
      : capacity_(capacity), room_(capacity > 0 ? std::max<Bytes>(capacity - context, 0) : kNoLimit) {}

  /// Whether there is no more than the device has.
  void limit(bool limited) { limited_ = limited; }

  /// Segments are placed as those in `places`, one after the other, until one is obtained that is not in turn.
  void follow(const std::vector<CallTrace::Segment>& places) {
    next_ = places.begin();
    end_ = places.end();
  }

  std::byte* allocate(Bytes bytes) override {
    place_.reset();
    if (!take(bytes)) return nullptr;
    std::byte* segment = device_.allocate(bytes);
    if (segment == nullptr) used_ -= bytes;
    if (segment == nullptr || next_ == end_) return segment;
    if (next_->size == bytes)
      place_ = (next_++)->position;
    else
      next_ = end_;
    return segment;
  }
  std::optional<std::uint64_t> place(const std::byte*) const override { return place_; }
  void free(std::byte*, Bytes bytes) noexcept override { used_ -= bytes; }
  std::byte* reserve_range(Bytes bytes) override {
    place_.reset();
    return device_.reserve_range(bytes);
  }
  void release_range(std::byte* range, Bytes bytes) noexcept override { device_.release_range(range, bytes); }
  bool map(std::byte*, Bytes bytes) override { return take(bytes); }
  void unmap(std::byte*, Bytes bytes) noexcept override { used_ -= bytes; }
  Bytes capacity() const override { return capacity_; }
  Bytes free_bytes() const override { return std::max<Bytes>(room_ - used_, 0); }

  EventId record(StreamId stream) override { return latest_ = device_.record(stream); }
  bool is_done(EventId event) override {
    return device_.is_done(event) || (event < done_.size() && done_[static_cast<std::size_t>(event)]);
  }
  void wait(EventId event) override { device_.wait(event); }

  EventId latest() const { return latest_; }
  void complete(EventId event) {
    if (event >= done_.size()) done_.resize(static_cast<std::size_t>(event) + 1);
    done_[static_cast<std::size_t>(event)] = true;
  }
  void complete_all() { device_.complete_events(); }

 private:
  static constexpr Bytes kNoLimit = std::numeric_limits<Bytes>::max();

  bool take(Bytes bytes) {
    if (limited_ && bytes > free_bytes()) return false;
    used_ += bytes;
    return true;
  }

  Bytes capacity_, room_, used_ = 0;
  bool limited_ = true;
  VirtualSource device_;  // addresses and events; it has no limit
  std::vector<CallTrace::Segment>::const_iterator next_{}, end_{};
  std::optional<std::uint64_t> place_;  // of the latest segment
  EventId latest_ = 0;
  std::vector<bool> done_;
};

/// What a block's number stands for.
struct Place {
  enum class State : std::uint8_t { unknown, live, freed, failed } state = State::unknown;
  Block* block = nullptr;  // live; nullptr for 0 bytes
  EventId event = 0;       // freed: of its other streams, if there are any
};

/// The current tag as it was, whatever happens.
struct TagKeeper {
  Tag before = current_tag();
  ~TagKeeper() { current_tag() = before; }
};

class Replay {
 public:
  Replay(const CallTrace& trace, const ReplayOptions& options)
      : trace_(trace),
        options_(options),
        source_(new ReplaySource(options.capacity, options.context)),
        allocator_(std::unique_ptr<Source>(source_), options.config, "virtual device"),
        places_(trace.blocks) {
    if (options.ties == Ties::address) source_->follow(trace.segments);
  }

  ReplayResult run() {
    const TagKeeper keeper;
    begin();
    std::unique_ptr<Recorder> recorder;
    if (!options_.record.empty()) recorder = std::make_unique<Recorder>(record());
    result_.before = watch(0);
    const std::size_t calls = std::min(trace_.calls.size(), options_.calls);
    if (options_.totals) result_.events.reserve(calls);
    for (index_ = 0; index_ < calls; ++index_) {
      perform(trace_.calls[index_]);
      const CallTrace::Totals totals = watch(index_ + 1);
      if (options_.totals) result_.events.push_back(totals);
      if (options_.stop_when_full && failed_) break;
    }
    if (recorder) recorder->stop();
    result_.statistics = allocator_.statistics();
    look_at_cache();
    return std::move(result_);
  }

 private:
  /// What was there before the trace.
  void begin() {
    if (!options_.rebuild_cache) {
      for (const Call& call : trace_.blocks_before) perform(call);
      return;
    }
    AllocatorConfig plain{.large_segment_size = options_.config.large_segment_size,
                          .max_non_split_rounding = options_.config.large_segment_size,
                          .roundup_power2_divisions = {}};
    plain.expandable_segments = options_.config.expandable_segments;
    allocator_.configure(plain);
    source_->limit(false);
    for (const Call& call : trace_.segments_before) perform(call);
    source_->limit(true);
    allocator_.configure(options_.config);
    allocator_.reset_peak();
  }

  Recorder record() {
    RecordingAbout about{
        .device = "virtual device", .context = options_.context, .metadata = {{"replayed", trace_.name}}};
    if (trace_.recording) {
      const RecordingHeader& header = trace_.recording->header();
      about.device = header.device;
      for (const auto& item : header.metadata) about.metadata.push_back(item);
    }
    return memory::record(allocator_, options_.record, std::move(about));
  }

  CallTrace::Totals watch(std::size_t calls) {
    const CallTrace::Totals totals{allocator_.allocated(), allocator_.reserved()};
    result_.peak_allocated = std::max(result_.peak_allocated, totals.allocated);
    if (totals.reserved > result_.peak_reserved) {
      result_.peak_reserved = totals.reserved;
      result_.allocated_at_peak = totals.allocated;
      result_.calls_to_peak = calls;
    }
    return totals;
  }

  void look_at_cache() {
    for (const SegmentView& segment : allocator_.snapshot()) {
      for (const BlockView& block : segment.blocks) {
        if (block.state != BlockView::State::inactive) continue;
        result_.cached += block.size;
        result_.largest_cached = std::max(result_.largest_cached, block.size);
      }
    }
  }

  [[noreturn]] void refuse(const Call& call, const char* reason) const {
    if (index_ >= trace_.lines.size()) throw FileError(fmt::format("{}: block {} {}", trace_.name, call.block, reason));
    throw FileError(fmt::format("{}:{}: the block {}", trace_.name, trace_.lines[index_], reason));
  }

  void perform(const Call& call) {
    switch (call.kind) {
      case Kind::malloc:
      case Kind::attempt:
        return malloc(call);
      case Kind::free:
        return free(call);
      case Kind::record_stream:
        if (Place& place = known(call); place.state == Place::State::live) {
          allocator_.record_stream(place.block, call.stream);
        }
        return;
      case Kind::retag:
        if (Place& place = known(call); !options_.record.empty() && place.state == Place::State::live) {
          allocator_.retag(place.block, trace_.tags[call.tag]);
        }
        return;
      case Kind::complete:
        if (const EventId event = places_[call.block].event; event != 0) source_->complete(event);
        return;
      case Kind::complete_all:
        return source_->complete_all();
      case Kind::empty_cache:
        return allocator_.empty_cache();
      case Kind::reset_peak:
        return allocator_.reset_peak();
    }
  }

  Place& known(const Call& call) {
    Place& place = places_[call.block];
    if (place.state == Place::State::unknown) refuse(call, "was never allocated");
    if (place.state == Place::State::freed) refuse(call, "is already freed");
    return place;
  }

  void malloc(const Call& call) {
    Place& place = places_[call.block];
    if (place.state == Place::State::live) refuse(call, "is already allocated");
    if (!options_.record.empty()) current_tag() = trace_.tags[call.tag];
    try {
      place = {Place::State::live, allocator_.malloc(call.bytes, call.stream), 0};
    } catch (const OutOfMemory&) {
      place = {Place::State::failed, nullptr, 0};
      failed_ = true;
      return;
    }
    if (call.kind == Kind::attempt) free(call);
  }

  void free(const Call& call) {
    Place& place = known(call);
    if (place.state == Place::State::failed) return;
    const EventId before = source_->latest();
    allocator_.free(place.block);
    const EventId after = source_->latest();
    place = {Place::State::freed, nullptr, after == before ? 0 : after};
  }

  const CallTrace& trace_;
  const ReplayOptions& options_;
  ReplaySource* source_;  // owned by the allocator
  CachingAllocator allocator_;
  std::vector<Place> places_;
  std::size_t index_ = 0;
  bool failed_ = false;
  ReplayResult result_;
};

}  // namespace

ReplayResult replay(const CallTrace& trace, const ReplayOptions& options) { return Replay(trace, options).run(); }

Ties ties_of(const CallTrace& trace) {
  const auto agreed = [&](Ties ties) {
    const ReplayResult result = replay(trace, {.config = trace.config(),
                                               .capacity = trace.capacity(),
                                               .context = trace.context(),
                                               .rebuild_cache = true,
                                               .totals = true,
                                               .ties = ties});
    std::size_t calls = 0;
    while (calls < trace.totals.size() && result.events[calls] == trace.totals[calls]) ++calls;
    return calls;
  };
  if (trace.totals.empty() || trace.segments.empty()) return Ties::age;
  const std::size_t by_age = agreed(Ties::age);
  return by_age < trace.totals.size() && agreed(Ties::address) > by_age ? Ties::address : Ties::age;
}

ReplayResult replay(std::istream& trace, const std::string& name, const AllocatorConfig& config, Bytes capacity) {
  return replay(read_calls(trace, name), {.config = config, .capacity = capacity, .totals = true});
}

}  // namespace mnemo::memory
