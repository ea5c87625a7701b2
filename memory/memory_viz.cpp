#include <mnemo/memory/memory_viz.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include <fmt/format.h>

#include <mnemo/memory/json_writer.h>
#include <mnemo/memory/pickle.h>
#include <mnemo/memory/rounding.h>
#include <mnemo/memory/timeline.h>

namespace mnemo::memory {
namespace {

constexpr std::uint64_t kBase = 0x700000000000;  // looks like an address of a device
constexpr int kBatch = 1000;                     // list elements at a time, as Python itself writes them
constexpr std::size_t kRemembered = 1'000'000;   // values, at most, so that memory stays bounded

/// `Writer` is a PickleWriter or a JsonWriter.
template <class Writer>
class MemoryViz {
 public:
  MemoryViz(const Recording& recording, std::ostream& out) : recording_(recording), writer_(out) {}

  void write() {
    Timeline timeline(recording_);
    last_category_.assign(static_cast<std::size_t>(recording_.size()), Category::other);
    while (timeline.next()) follow_category(timeline);
    expandable_ = timeline.state().expandable() ||
                  recording_.header().allocator.find("expandable_segments:True") != std::string::npos;

    writer_.begin_dictionary();
    key("segments");
    write_segments(timeline.state());
    key("device_traces");
    writer_.begin_list();
    write_trace();
    writer_.end_list();
    key("allocator_settings");
    writer_.begin_dictionary();
    entry("PYTORCH_CUDA_ALLOC_CONF", recording_.header().allocator);
    writer_.end_dictionary();
    // For whoever reads it back; the viewer passes over it.
    key("mnemo");
    writer_.begin_dictionary();
    entry("device", recording_.header().device);
    entry("capacity", recording_.header().capacity);
    key("timed");
    writer_.boolean(recording_.header().timed);
    writer_.end_dictionary();
    writer_.end_dictionary();
    writer_.finish();
  }

 private:
  static std::int64_t address(std::uint64_t position) { return static_cast<std::int64_t>(kBase + position); }

  void text(std::string_view text) {
    const auto found = texts_.find(text);
    if (found != texts_.end()) return writer_.again(found->second);
    writer_.text(text);
    if (texts_.size() < kRemembered) texts_.emplace(text, writer_.remember());
  }
  void key(std::string_view name) { text(name); }
  void entry(std::string_view name, std::string_view value) {
    key(name);
    text(value);
  }
  void entry(std::string_view name, std::int64_t value) {
    key(name);
    writer_.number(value);
  }

  void write_frame(std::string_view function, std::string_view file, std::int64_t line) {
    writer_.begin_dictionary();
    entry("name", function);
    entry("filename", file);
    entry("line", line);
    writer_.end_dictionary();
  }

  void write_frames(const Tag& tag) {
    const Frames frames{tag.op, tag.module, tag.phase, tag.step};
    const auto found = frames_.find(frames);
    if (found != frames_.end()) return writer_.again(found->second);
    writer_.begin_list();
    write_frame(*tag.op == '\0' ? "(no op)" : tag.op, *tag.module == '\0' ? "(no module)" : tag.module, 0);
    write_frame(name(tag.phase), fmt::format("step {}", tag.step), 0);
    writer_.end_list();
    if (frames_.size() < kRemembered) frames_.emplace(frames, writer_.remember());
  }

  void follow_category(const Timeline& timeline) {
    const Event& event = timeline.event();
    if (event.kind != EventKind::alloc && event.kind != EventKind::retag) return;
    const std::int64_t since = timeline.state().blocks().at(event.position).since;
    if (since >= 0) last_category_[static_cast<std::size_t>(since)] = event.tag.category;
  }

  void write_block(std::uint64_t position, Bytes size, const LiveBlock* block) {
    writer_.begin_dictionary();
    entry("address", address(position));
    entry("size", size);
    entry("requested_size", block != nullptr ? block->requested : 0);
    entry("state", block == nullptr ? "inactive" : block->waiting ? "active_pending_free" : "active_allocated");
    key("frames");
    if (block != nullptr) {
      write_frames(block->tag);
    } else {
      writer_.empty_list();
    }
    writer_.end_dictionary();
  }

  void write_segments(const LiveState& state) {
    writer_.begin_list();
    int count = 0;
    for (const auto& [position, segment] : state.segments()) {
      if (++count % kBatch == 0) writer_.next_batch();
      write_segment(state, position, segment);
    }
    writer_.end_list();
  }

  void write_segment(const LiveState& state, std::uint64_t position, const LiveSegment& segment) {
    const std::uint64_t end = position + static_cast<std::uint64_t>(segment.size);
    const auto first = state.blocks().lower_bound(position);
    const auto last = state.blocks().lower_bound(end);
    Bytes allocated = 0;
    Bytes active = 0;
    Bytes requested = 0;
    Bytes largest = 0;
    for (auto block = first; block != last; ++block) {
      allocated += block->second.waiting ? 0 : block->second.size;
      active += block->second.size;
      requested += block->second.requested;
      largest = std::max(largest, block->second.size);
    }
    writer_.begin_dictionary();
    entry("device", 0);
    entry("address", address(position));
    entry("total_size", segment.size);
    entry("allocated_size", allocated);
    entry("active_size", active);
    entry("requested_size", requested);
    entry("stream", segment.stream);
    // A recording does not say of which pool a segment is; its size nearly always does.
    const bool small = largest <= kSmallLimit && (segment.size == kSmallSegment || (expandable_ && largest > 0));
    entry("segment_type", small ? "small" : "large");
    key("segment_pool_id");
    writer_.pair(0, 0);
    key("is_expandable");
    writer_.boolean(expandable_);
    key("frames");
    writer_.empty_list();
    key("blocks");
    writer_.begin_list();
    int count = 0;
    std::uint64_t next = position;
    const auto free_until = [&](std::uint64_t until) {
      if (next < until) write_block(next, static_cast<Bytes>(until - next), nullptr);
    };
    for (auto block = first; block != last; ++block) {
      if (++count % kBatch == 0) writer_.next_batch();
      free_until(block->first);
      write_block(block->first, block->second.size, &block->second);
      next = block->first + static_cast<std::uint64_t>(block->second.size);
    }
    free_until(end);
    writer_.end_list();
    writer_.end_dictionary();
  }

  /// The viewer's name of what happened; empty when it has none.
  std::string_view action(EventKind kind) const {
    switch (kind) {
      case EventKind::segment_alloc:
        return expandable_ ? "segment_map" : "segment_alloc";
      case EventKind::segment_free:
        return expandable_ ? "segment_unmap" : "segment_free";
      case EventKind::alloc:
      case EventKind::free_requested:
      case EventKind::free_completed:
      case EventKind::oom:
        return name(kind);
      case EventKind::retag:
      case EventKind::marker:
        break;
    }
    return {};
  }

  void write_trace() {
    writer_.begin_list();
    // With categories but none of them "unknown" a misspelt name in the viewer keeps the file from opening.
    writer_.begin_dictionary();
    entry("action", "snapshot");
    for (const char* field : {"addr", "size", "stream", "time_us"}) entry(field, 0);
    key("frames");
    writer_.empty_list();
    entry("category", "unknown");
    writer_.end_dictionary();
    int count = 1;
    for (Timeline timeline(recording_); timeline.next();) {
      const Event& event = timeline.event();
      if (action(event.kind).empty()) continue;
      if (++count % kBatch == 0) writer_.next_batch();
      write_event(event, timeline);
    }
    writer_.end_list();
  }

  void write_event(const Event& event, const Timeline& timeline) {
    const bool of_block = event.kind == EventKind::alloc || event.kind == EventKind::free_requested ||
                          event.kind == EventKind::free_completed;
    writer_.begin_dictionary();
    entry("action", action(event.kind));
    if (event.kind == EventKind::oom) {
      entry("device_free", std::max<Bytes>(0, recording_.header().capacity - event.reserved));
    } else {
      entry("addr", address(event.position));
    }
    entry("size", of_block ? event.requested : event.size);
    entry("stream", event.stream);
    entry("time_us", timeline.time());
    key("frames");
    write_frames(event.tag);
    if (of_block) {
      const Category category = event.kind == EventKind::alloc
                                    ? last_category_[static_cast<std::size_t>(timeline.index())]
                                    : event.tag.category;
      entry("category", name(category));
    }
    writer_.end_dictionary();
  }

  using Frames = std::tuple<const char*, const char*, Phase, std::int64_t>;

  const Recording& recording_;
  Writer writer_;
  std::map<std::string, typename Writer::Reference, std::less<>> texts_;
  std::map<Frames, typename Writer::Reference> frames_;
  std::vector<Category> last_category_;  // of each event that is an allocation: what its block was held for last
  bool expandable_ = false;
};

}  // namespace

void write_memory_viz(const Recording& recording, std::ostream& out) {
  MemoryViz<PickleWriter>(recording, out).write();
}

void write_memory_viz_json(const Recording& recording, std::ostream& out) {
  MemoryViz<JsonWriter>(recording, out).write();
}

}  // namespace mnemo::memory
