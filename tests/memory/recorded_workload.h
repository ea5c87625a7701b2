// A random workload that keeps the allocator's own counters after every event, to hold a recording against.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/memory/timeline.h>

#include "memory/streamed_source.h"

namespace mnemo::memory {

/// Every field of an event.
inline std::string text(const Event& e) {
  return fmt::format("{} at {}: {} of {} on {}, {} {} '{}' '{}' {}, was {}, then {} of {}", name(e.kind), e.position,
                     e.requested, e.size, e.stream, name(e.tag.category), name(e.tag.phase), e.tag.op, e.tag.module,
                     e.tag.step, name(e.before), e.allocated, e.reserved);
}

class RecordedWorkload {
 public:
  RecordedWorkload(const char* options, Bytes capacity)
      : source_(new StreamedSource(capacity)),
        allocator_(std::unique_ptr<Source>(source_), AllocatorConfig::parse(options), "test") {}

  CachingAllocator& allocator() { return allocator_; }

  /// From here on, every event and the counters are kept.
  void begin_watching() {
    subscription_ = allocator_.subscribe([this](const Event& event) { seen_.push_back(event); });
  }

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      operate();
      if (subscription_ != nullptr) after_.push_back({seen_.size(), allocator_.categories(), allocator_.statistics()});
    }
  }

  /// How the end of what was seen differs from `recording`; empty when it does not.
  std::string difference(const Recording& recording) const {
    const auto skipped = static_cast<std::size_t>(recording.dropped());
    if (skipped + static_cast<std::size_t>(recording.size()) != seen_.size()) {
      return fmt::format("{} + {} events, not {}", skipped, recording.size(), seen_.size());
    }
    Timeline timeline(recording);
    std::size_t next = 0;
    for (std::size_t i = skipped;; ++i) {
      Bytes sum = 0;
      for (const Bytes held : timeline.categories()) sum += held;
      if (sum != timeline.allocated()) return fmt::format("event {}: {} by category", i, sum);
      // Operations that end here: the allocator's own counters.
      for (; next < after_.size() && after_[next].events <= i; ++next) {
        const Live& live = after_[next];
        if (live.events < i) continue;
        if (live.categories != timeline.categories()) return fmt::format("event {}: other categories", i);
        if (live.statistics.reserved_bytes.all.current != timeline.reserved())
          return fmt::format("event {}: reserved", i);
        Bytes active = 0;
        Bytes requested = 0;
        for (const auto& [position, block] : timeline.state().blocks()) {
          active += block.size;
          requested += block.requested;
        }
        if (live.statistics.active_bytes.all.current != active) return fmt::format("event {}: active", i);
        if (live.statistics.requested_bytes.all.current != requested) return fmt::format("event {}: requested", i);
      }
      if (!timeline.next()) break;
      if (text(timeline.event()) != text(seen_[i])) {
        return fmt::format("event {}: {}, not {}", i, text(timeline.event()), text(seen_[i]));
      }
    }
    return "";
  }

 private:
  struct Live {
    std::size_t events;
    CategoryBytes categories;
    Statistics statistics;
  };

  Bytes below(Bytes bound) { return static_cast<Bytes>(random_() % static_cast<std::uint64_t>(bound)); }

  Tag random_tag() {
    static constexpr const char* kTexts[] = {"", "conv3d", "relu", "encoder.0", "decoder \"\\ \n"};
    return {static_cast<Category>(below(kCategories)), static_cast<Phase>(below(kPhases)), kTexts[below(5)],
            kTexts[below(5)], below(3) == 0 ? below(1'000'000) - 500'000 : 3};
  }

  void operate() {
    const Bytes dice = below(100);
    const auto any = [&]() -> Block* { return live_[random_() % live_.size()]; };
    if (below(3) == 0) current_tag() = random_tag();
    if (dice < 4) {
      source_->complete(below(3));
    } else if (dice < 5) {
      allocator_.empty_cache();
    } else if (dice < 7) {
      allocator_.marker("a marker");
    } else if (dice < 14 && !live_.empty()) {
      allocator_.record_stream(any(), below(3));
    } else if (dice < 24 && !live_.empty()) {
      allocator_.retag(any(), random_tag());
    } else if (live_.size() < 30 ? dice < 70 : dice < 40) {
      malloc();
    } else if (!live_.empty()) {
      const std::size_t index = random_() % live_.size();
      allocator_.free(live_[index]);
      live_[index] = live_.back();
      live_.pop_back();
    }
    current_tag() = {};
  }

  void malloc() {
    static constexpr Bytes kMost[] = {600, 600 * KiB, 3 * MiB, 45 * MiB};
    try {
      const Bytes bytes = below(40) == 0 ? (Bytes{1} << 60) + below(1000) : 1 + below(kMost[below(4)]);
      live_.push_back(allocator_.malloc(bytes, below(3)));
    } catch (const OutOfMemory&) {
    }
  }

  std::mt19937_64 random_{1};
  StreamedSource* source_;  // owned by the allocator
  CachingAllocator allocator_;
  std::vector<Block*> live_;
  std::vector<Event> seen_;
  std::vector<Live> after_;
  std::shared_ptr<void> subscription_;
};

}  // namespace mnemo::memory
