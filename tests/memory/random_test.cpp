// The allocator against a second, simple implementation of the same rules, after every one of a million operations.
#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <mnemo/memory/allocator.h>

#include "memory/reference_allocator.h"
#include "memory/streamed_source.h"

namespace mnemo::memory {
namespace {

/// Per scenario; MNEMO_RANDOM_OPERATIONS and MNEMO_RANDOM_SEED ask for other ones.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr std::uint64_t kOperations = 10'000;  // slow builds look for other errors
#else
constexpr std::uint64_t kOperations = 100'000;
#endif

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::stoull(text);
}

struct Scenario {
  const char* options;
  Bytes capacity;
  int streams;
  bool toggles_expandable = false;
};

/// Adds the events up again and checks the totals that each one carries.
struct EventSum {
  Bytes allocated = 0;
  Bytes reserved = 0;
  Bytes waiting = 0;
  bool consistent = true;

  void operator()(const Event& event) {
    if (event.kind == EventKind::alloc) allocated += event.size;
    if (event.kind == EventKind::free_requested) {
      allocated -= event.size;
      waiting += event.size;
    }
    if (event.kind == EventKind::free_completed) waiting -= event.size;
    if (event.kind == EventKind::segment_alloc) reserved += event.size;
    if (event.kind == EventKind::segment_free) reserved -= event.size;
    consistent = consistent && event.allocated == allocated && event.reserved == reserved && allocated <= reserved &&
                 waiting >= 0;
  }
};

class Comparison {
 public:
  Comparison(const Scenario& scenario, std::uint64_t seed)
      : scenario_(scenario),
        random_(seed),
        source_(new StreamedSource(scenario.capacity)),
        allocator_(std::unique_ptr<Source>(source_), AllocatorConfig::parse(scenario.options), "test"),
        reference_(AllocatorConfig::parse(scenario.options), scenario.capacity),
        subscription_(allocator_.subscribe([this](const Event& event) { events_(event); })) {}

  /// What differs after the next operation; empty when all is well.
  std::string step() {
    operate();
    return difference();
  }

  std::int64_t ooms() const { return reference_.ooms; }

 private:
  struct Live {
    int id;
    Block* block;
  };

  Bytes below(Bytes bound) { return static_cast<Bytes>(random_() % static_cast<std::uint64_t>(bound)); }

  Bytes random_size() {
    static constexpr Bytes kEdges[] = {512, MiB, 10 * MiB, 19 * MiB, 20 * MiB, 30 * MiB, 2 * MiB, 4096};
    switch (below(8)) {
      case 0:
        return 1 + below(4096);
      case 1:
        return 1 + below(256 * KiB);
      case 2:
        return 1 + below(2 * MiB);
      case 3:
        return 1 + below(12 * MiB);
      case 4:
        return kEdges[below(8)] - 1 + below(3);
      case 5:
        return 512 * (1 + below(6));
      case 6:
        return MiB * (1 + below(30));
      default:
        return below(12) == 0 ? 1 + below(140 * MiB) : 1 + below(40 * MiB);
    }
  }

  void operate() {
    // The wanted number of live blocks moves, so that memory fills and drains.
    const std::size_t wanted = 4 + (operation_++ / 500 * 7) % 36;
    const Bytes dice = below(100);
    if (dice < 4) {
      const StreamId stream = below(scenario_.streams);
      source_->complete(stream);
      reference_.complete(stream);
    } else if (dice < 5 && below(4) == 0) {
      allocator_.empty_cache();
      reference_.empty_cache();
    } else if (dice < 5 && scenario_.toggles_expandable && below(3) == 0) {
      AllocatorConfig config = allocator_.config();
      config.expandable_segments = !config.expandable_segments;
      allocator_.configure(config);
      reference_.config = config;
    } else if (dice < 12 && !live_.empty()) {
      const Live& live = live_[random_() % live_.size()];
      const StreamId stream = below(scenario_.streams);
      allocator_.record_stream(live.block, stream);
      reference_.record_stream(live.id, stream);
    } else if (dice < 18 && !live_.empty()) {
      const Live& live = live_[random_() % live_.size()];
      const auto category = static_cast<Category>(below(kCategories));
      allocator_.retag(live.block, category);
      reference_.retag(live.id, category);
    } else if (live_.size() < wanted ? dice < 75 : dice < 30) {
      malloc();
    } else if (!live_.empty()) {
      const std::size_t index = random_() % live_.size();
      allocator_.free(live_[index].block);
      reference_.free(live_[index].id);
      live_[index] = live_.back();
      live_.pop_back();
    }
  }

  void malloc() {
    const Bytes bytes = below(5000) == 0 ? (Bytes{1} << 60) + below(1000) : random_size();
    const StreamId stream = below(scenario_.streams);
    const auto category = static_cast<Category>(below(kCategories));
    const CategoryScope scope(category);
    const bool expected = reference_.malloc(++last_id_, bytes, stream, category);
    Block* block = nullptr;
    try {
      block = allocator_.malloc(bytes, stream);
    } catch (const OutOfMemory&) {
    }
    if (block != nullptr) live_.push_back({last_id_, block});
    if ((block != nullptr) != expected) error_ = expected ? "out of memory, unexpectedly" : "memory, unexpectedly";
  }

  std::string difference() {
    if (!error_.empty()) return error_;
    const Statistics s = allocator_.statistics();
    const ReferenceAllocator::Figures expected = reference_.figures();
    ReferenceAllocator::Figures found;
    found.allocated = s.allocated_bytes.all.current;
    found.reserved = s.reserved_bytes.all.current;
    found.active = s.active_bytes.all.current;
    found.requested = s.requested_bytes.all.current;
    found.inactive_split = s.inactive_split_bytes.all.current;
    found.allocations = s.allocation.all.current;
    found.actives = s.active.all.current;
    found.inactive_splits = s.inactive_split.all.current;
    found.segments = s.segment.all.current;
    found.oversize_blocks = s.oversize_allocations.current;
    found.oversize_segments = s.oversize_segments.current;
    found.categories = allocator_.categories();
    if (!(found == expected)) {
      return fmt::format(
          "current figures: allocated {} for {}, reserved {} for {}, active {} for {}, inactive_split {} for {}",
          found.allocated, expected.allocated, found.reserved, expected.reserved, found.active, expected.active,
          found.inactive_split, expected.inactive_split);
    }
    if (s.num_alloc_retries != reference_.retries) return "retries";
    if (s.num_ooms != reference_.ooms) return "ooms";
    if (s.num_sync_all_streams != reference_.synchronizations) return "synchronizations";
    if (s.num_device_alloc != reference_.device_allocs) return "device allocations";
    if (s.num_device_free != reference_.device_frees) return "device frees";

    if (expected.allocated > peak_.allocated) peak_ = {expected.allocated, expected.categories, {}};
    peak_reserved_ = std::max(peak_reserved_, expected.reserved);
    if (s.allocated_bytes.all.peak != peak_.allocated || allocator_.peak().allocated != peak_.allocated) return "peak";
    if (allocator_.peak().categories != peak_.categories) return "categories at the peak";
    if (s.reserved_bytes.all.peak != peak_reserved_) return "peak of reserved";
    for (const PoolStat* stat : {&s.allocation, &s.segment, &s.active, &s.inactive_split, &s.allocated_bytes,
                                 &s.reserved_bytes, &s.active_bytes, &s.inactive_split_bytes, &s.requested_bytes}) {
      if (stat->all.current != stat->small_pool.current + stat->large_pool.current) return "sum of the pools";
      if (stat->all.current != stat->all.allocated - stat->all.freed) return "history";
    }
    if (allocator_.allocated() != found.allocated || allocator_.reserved() != found.reserved) return "ledger";
    if (!events_.consistent || events_.waiting != expected.active - expected.allocated) return "totals in the events";
    if (source_->free_bytes() != scenario_.capacity - found.reserved) return "bytes taken from the source";
    return layout_difference(found);
  }

  /// The blocks one by one, and the sums over them that must give the counters.
  std::string layout_difference(const ReferenceAllocator::Figures& figures) {
    using Piece = ReferenceAllocator::Piece;
    Bytes live = 0;
    for (const Live& l : live_) live += l.block->size;
    if (live != figures.allocated) return "sum of the live blocks";

    const std::vector<SegmentView> snapshot = allocator_.snapshot();
    std::vector<const BlockView*> blocks;
    Bytes free = 0;
    Bytes waiting = 0;
    Bytes split = 0;
    for (const SegmentView& segment : snapshot) {
      Bytes tiled = 0;
      for (const BlockView& block : segment.blocks) {
        if (block.position != segment.position + static_cast<std::uint64_t>(tiled)) return "tiling";
        tiled += block.size;
        blocks.push_back(&block);
        if (block.state == BlockView::State::pending_free) waiting += block.size;
        if (block.state != BlockView::State::inactive) continue;
        free += block.size;
        if (!segment.expandable && segment.blocks.size() > 1) split += block.size;
      }
      if (tiled != segment.size) return "tiling";
    }
    if (live + waiting + free != figures.reserved) return "sum of all blocks";
    if (split != figures.inactive_split) return "sum of the free blocks with a neighbour";

    std::size_t next = 0;
    for (const ReferenceAllocator::Region& region : reference_.regions) {
      std::uint64_t position = region.position;
      for (const Piece& piece : region.pieces) {
        if (piece.state != ReferenceAllocator::State::unmapped) {
          if (next == blocks.size()) return "number of blocks";
          const BlockView& block = *blocks[next++];
          const auto state = piece.state == ReferenceAllocator::State::live      ? BlockView::State::active
                             : piece.state == ReferenceAllocator::State::waiting ? BlockView::State::pending_free
                                                                                 : BlockView::State::inactive;
          if (block.position != position || block.size != piece.size || block.state != state) return "layout";
        }
        position += static_cast<std::uint64_t>(piece.size);
      }
    }
    return next == blocks.size() ? "" : "number of blocks";
  }

  Scenario scenario_;
  std::mt19937_64 random_;
  StreamedSource* source_;
  CachingAllocator allocator_;
  ReferenceAllocator reference_;
  EventSum events_;
  std::shared_ptr<void> subscription_;
  std::vector<Live> live_;
  int last_id_ = 0;
  std::size_t operation_ = 0;
  Peak peak_;
  Bytes peak_reserved_ = 0;
  std::string error_;
};

const Scenario kScenarios[] = {
    {"", 100 * GiB, 1},
    {"", 100 * GiB, 3},
    {"", 300 * MiB, 1},
    {"", 300 * MiB, 3},
    {"", 130 * MiB, 2},
    {"roundup_power2_divisions:4", 400 * MiB, 2},
    {"roundup_power2_divisions:[1:8,4:2,16:4,>:1]", 400 * MiB, 2},
    {"max_split_size_mb:20", 350 * MiB, 2},
    {"max_split_size_mb:24,max_non_split_rounding_mb:3", 300 * MiB, 2},
    {"max_split_size_mb:30,roundup_power2_divisions:8", 100 * GiB, 3},
    {"large_segment_size_mb:11", 300 * MiB, 2},
    {"large_segment_size_mb:64,max_split_size_mb:40", 400 * MiB, 2},
    {"large_segment_size_mb:33,per_process_memory_fraction:0.7", 500 * MiB, 3},
    {"garbage_collection_threshold:0.6,per_process_memory_fraction:0.8", 500 * MiB, 2},
    {"garbage_collection_threshold:0.3,per_process_memory_fraction:0.9,max_split_size_mb:25", 450 * MiB, 2},
    {"expandable_segments:True", 100 * GiB, 2},
    {"expandable_segments:True", 300 * MiB, 1},
    {"expandable_segments:True", 300 * MiB, 3},
    {"expandable_segments:True", 130 * MiB, 2},
    {"expandable_segments:True,max_split_size_mb:20", 350 * MiB, 2},
    {"expandable_segments:True,large_segment_size_mb:32,roundup_power2_divisions:4", 350 * MiB, 2},
    {"expandable_segments:True,per_process_memory_fraction:0.75", 400 * MiB, 2},
    {"expandable_segments:True,garbage_collection_threshold:0.5,per_process_memory_fraction:0.75", 400 * MiB, 2, true},
    {"", 300 * MiB, 2, true},
    {"", 150 * MiB, 3, true},
    {"max_split_size_mb:22", 350 * MiB, 2, true},
    {"large_segment_size_mb:14,max_split_size_mb:20,roundup_power2_divisions:2,garbage_collection_threshold:0.4,"
     "per_process_memory_fraction:0.95,expandable_segments:True",
     400 * MiB, 2, true},
};

TEST_CASE("the allocator does what the rules say, one random operation after the other") {
  const std::uint64_t operations = from_environment("MNEMO_RANDOM_OPERATIONS", kOperations);
  const std::uint64_t first_seed = from_environment("MNEMO_RANDOM_SEED", 1000);
  std::int64_t ooms = 0;
  for (std::size_t i = 0; i < std::size(kScenarios); ++i) {
    const std::uint64_t seed = first_seed + i;
    const std::string options = kScenarios[i].options;
    CAPTURE(seed);
    CAPTURE(options);
    CAPTURE(kScenarios[i].capacity);
    Comparison comparison(kScenarios[i], seed);
    for (std::uint64_t operation = 0; operation < operations; ++operation) {
      const std::string difference = comparison.step();
      if (difference.empty()) continue;
      CAPTURE(operation);
      FAIL_CHECK("differs in: " << difference);
      break;
    }
    ooms += comparison.ooms();
  }
  CHECK(ooms > static_cast<std::int64_t>(operations / 100));  // the scenarios are tight enough to fail now and then
}

}  // namespace
}  // namespace mnemo::memory
