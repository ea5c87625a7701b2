#include <mnemo/memory/import.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/recording_writer.h>
#include <mnemo/memory/rounding.h>
#include <mnemo/memory/snapshot_frames.h>
#include <mnemo/memory/snapshot_past.h>
#include <mnemo/memory/whole_file.h>

namespace mnemo::memory {
namespace {

using Action = SnapshotEntry::Action;

/// From addresses to positions: what was ever obtained from the device, laid end to end.
class Positions {
 public:
  Positions(const SnapshotPast& past, const SnapshotFile& file) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
    const auto add = [&](std::uint64_t address, Bytes size) {
      places.emplace_back(address, address + static_cast<std::uint64_t>(size));
    };
    for (const auto& [address, range] : past.segments.all()) add(address, range.size);
    for (const SnapshotEntry& entry : file.trace) {
      if (entry.action == Action::segment_alloc || entry.action == Action::segment_map) add(entry.address, entry.size);
    }
    std::sort(places.begin(), places.end());
    std::uint64_t position = 0;
    for (const auto& [begin, end] : places) {
      if (stretches_.empty() || begin > stretches_.back().end) {
        stretches_.push_back({begin, end, position});
      } else if (end > stretches_.back().end) {
        stretches_.back().end = end;
      }
      position = stretches_.back().position + (stretches_.back().end - stretches_.back().begin);
    }
  }

  /// False when nothing was ever there.
  bool find(std::uint64_t address, std::uint64_t& position) const {
    auto stretch = std::upper_bound(stretches_.begin(), stretches_.end(), address,
                                    [](std::uint64_t at, const Stretch& other) { return at < other.begin; });
    if (stretch == stretches_.begin()) return false;
    --stretch;
    if (address >= stretch->end) return false;
    position = stretch->position + (address - stretch->begin);
    return true;
  }

 private:
  struct Stretch {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t position = 0;
  };
  std::vector<Stretch> stretches_;
};

class Import {
 public:
  Import(SnapshotFile file, const std::string& name)
      : file_(std::move(file)), name_(name), past_(file_, name), positions_(past_, file_), frames_(file_) {
    if (file_.capacity == 0) room_ = room_when_full();
  }

  ImportedRecording run() {
    begin();
    std::ostringstream out;
    RecordingWriter writer(out, header(), state_);
    writer_ = &writer;
    for (std::size_t i = 0; i < file_.trace.size(); ++i) {
      try {
        redo(file_.trace[i], i);
      } catch (const FileError& error) {
        throw FileError(fmt::format("{}: event {} {}", name_, i, error.what()));
      }
    }
    writer.finish(state_);
    return {std::move(out).str(), file_.device_index, past_.contradictions + contradictions_, warnings()};
  }

 private:
  RecordingHeader header() const {
    RecordingHeader header;
    header.device = file_.device.empty() ? fmt::format("cuda:{}", file_.device_index) : file_.device;
    header.capacity = file_.capacity > 0 ? file_.capacity : room_;
    header.allocator = file_.config.text();
    header.timed = file_.timed;
    header.metadata = {{"imported", std::filesystem::path(name_).filename().string()},
                       {"device_index", std::to_string(file_.device_index)},
                       {"version", MNEMO_VERSION}};
    return header;
  }

  std::vector<std::string> warnings() const {
    std::vector<std::string> warnings;
    if (const std::int64_t made_good = past_.contradictions + contradictions_; made_good > 0) {
      warnings.push_back(fmt::format(
          "{} events contradict others, as if recording had been interrupted; blocks were taken to come and to go in "
          "between",
          made_good));
    }
    if (others_ > 0) warnings.push_back(fmt::format("{} events of an unknown kind were left out", others_));
    if (!file_.unknown_options.empty()) {
      warnings.push_back(fmt::format("options of the allocator that do not matter here or are not understood: {}",
                                     fmt::join(file_.unknown_options, "; ")));
    }
    if (file_.private_pools > 0) {
      warnings.push_back(
          fmt::format("{} private pools, as CUDA graphs have: their blocks are on streams of their own here, numbered "
                      "below 0, and a cache that is emptied gives up theirs too",
                      file_.private_pools));
    }
    if (file_.traced_devices > 1) {
      warnings.push_back(
          fmt::format("{} devices have events; this is device {}", file_.traced_devices, file_.device_index));
    }
    if (room_ > 0) {
      warnings.push_back(
          fmt::format("the device's capacity is taken to be {}, which is what there was for segments when it was full",
                      format_bytes(room_)));
    }
    if (file_.trace.empty()) {
      warnings.push_back(
          "the snapshot has no trace for this device, only what was alive: call "
          "torch.cuda.memory._record_memory_history() before the run");
    }
    return warnings;
  }

  /// What was reserved and what was left when a request failed: the least of it, but as much as ever was reserved. 0 if
  /// none failed, or the file does not say what was left.
  Bytes room_when_full() const {
    Bytes reserved = 0, most = 0, least = std::numeric_limits<Bytes>::max();
    const auto add = [&](Bytes bytes) { most = std::max(most, reserved += bytes); };
    for (const auto& [address, range] : past_.segments.all()) add(range.size);
    for (const SnapshotEntry& entry : file_.trace) {
      if (entry.action == Action::segment_alloc || entry.action == Action::segment_map) add(entry.size);
      if (entry.action == Action::segment_free || entry.action == Action::segment_unmap) add(-entry.size);
      if (entry.action == Action::oom && entry.device_free >= 0) least = std::min(least, reserved + entry.device_free);
    }
    return least == std::numeric_limits<Bytes>::max() ? 0 : std::max(least, most);
  }

  std::uint64_t position(std::uint64_t address) const {
    std::uint64_t position = 0;
    if (!positions_.find(address, position)) {
      throw FileError(fmt::format("is at 0x{:x}, where there was never a segment", address));
    }
    return position;
  }

  /// How many bytes from `position` on belong together and to no block; at least as many as are `wanted`, when they are
  /// there. The pieces of an expandable segment are counted as far as that needs.
  Bytes room(std::uint64_t position, Bytes wanted, bool& plain) const {
    auto piece = state_.segments().upper_bound(position);
    if (piece == state_.segments().begin()) return 0;
    --piece;
    plain = plain_.contains(piece->first);
    std::uint64_t end = piece->first + static_cast<std::uint64_t>(piece->second.size);
    if (end <= position) return 0;
    for (++piece; piece != state_.segments().end() && piece->first == end; ++piece) {
      if (static_cast<Bytes>(end - position) >= wanted || plain) break;
      end += static_cast<std::uint64_t>(piece->second.size);
    }
    const auto block = state_.blocks().lower_bound(position);
    if (block != state_.blocks().end()) end = std::min(end, block->first);
    return static_cast<Bytes>(end - position);
  }

  /// The size of the block that the allocator made of a free one of `room` bytes; at least `requested`.
  Bytes block_size(Bytes requested, Bytes room, bool plain) const {
    const Bytes rounded = std::max(round_request(requested, file_.config), requested);
    if (rounded >= room) return room;
    if (!plain || rounded <= kSmallLimit) return rounded;
    const bool split = rounded < file_.config.max_split_size && room - rounded > kSmallLimit;
    return split ? rounded : room;
  }

  /// The state before the trace.
  void begin() {
    for (const auto& [address, range] : past_.segments.all()) {
      Event event{.kind = EventKind::segment_alloc,
                  .position = position(address),
                  .size = range.size,
                  .stream = range.stream,
                  .tag = {}};
      state_.apply(event, -1);
      if (!range.expandable) plain_.insert(event.position);
    }
    // The highest first, so that the room of each is known.
    for (auto entry = past_.blocks.rbegin(); entry != past_.blocks.rend(); ++entry) {
      const SnapshotPast::Block& block = entry->second;
      try {
        allocate(entry->first, block, -1);
      } catch (const FileError& error) {
        throw FileError(fmt::format("{}: a block that was there before the trace {}", name_, error.what()));
      }
    }
  }

  /// Puts a block in its place; the event that says so.
  Event allocate(std::uint64_t address, const SnapshotPast::Block& block, std::int64_t index) {
    Event event{.kind = EventKind::alloc,
                .position = position(address),
                .size = block.size,
                .requested = block.requested,
                .stream = block.stream,
                .tag = frames_.tag(block.frames)};
    event.tag.category = block.category;
    bool plain = false;
    const Bytes wanted = std::max(block.size, round_request(block.requested, file_.config));
    const Bytes there = room(event.position, wanted, plain);
    if (event.size == 0 || event.size > there) event.size = block_size(block.requested, there, plain);
    if (event.size < std::max<Bytes>(block.requested, 1)) {
      throw FileError(fmt::format("allocates {} bytes at 0x{:x}, where there are {}", block.requested, address, there));
    }
    state_.apply(event, index);
    if (block.waiting) {
      Event freed{.kind = EventKind::free_requested, .position = event.position, .tag = {}};
      state_.apply(freed, index);
    }
    return event;
  }

  void emit(Event event) {
    state_.apply(event, index_++);
    write(event);
  }
  void write(const Event& event) {
    std::uint64_t elapsed = 0;
    if (file_.timed && last_time_ < time_)
      elapsed = static_cast<std::uint64_t>(time_) - static_cast<std::uint64_t>(last_time_);
    last_time_ = std::max(last_time_, time_);
    writer_->add(event, elapsed);
  }

  void free_block(std::uint64_t position) {
    const bool waiting = state_.blocks().at(position).waiting;
    if (!waiting) emit({.kind = EventKind::free_requested, .position = position, .tag = {}});
    emit({.kind = EventKind::free_completed, .position = position, .tag = {}});
  }
  /// Blocks whose end was not recorded go when their place is taken.
  void free_blocks(std::uint64_t begin, Bytes size) {
    const std::uint64_t end = begin + static_cast<std::uint64_t>(size);
    for (;;) {
      auto block = state_.blocks().lower_bound(end);
      if (block == state_.blocks().begin()) return;
      --block;
      if (block->first + static_cast<std::uint64_t>(block->second.size) <= begin) return;
      free_block(block->first);
      ++contradictions_;
    }
  }

  void redo_alloc(const SnapshotEntry& entry, std::size_t index) {
    free_blocks(position(entry.address), std::max<Bytes>(entry.size, 1));
    const auto known = past_.sizes.find(index);
    const Bytes size = known == past_.sizes.end() ? 0 : known->second;
    write(allocate(entry.address, {size, entry.size, entry.stream, false, entry.category, entry.frames}, index_++));
  }

  void redo_free(const SnapshotEntry& entry) {
    const auto block = state_.blocks().find(position(entry.address));
    const bool completed = entry.action == Action::free_completed;
    if (block == state_.blocks().end() || (!completed && block->second.waiting)) {
      ++contradictions_;
    } else if (completed && !block->second.waiting) {
      ++contradictions_;
      free_block(block->first);
    } else {
      emit({.kind = completed ? EventKind::free_completed : EventKind::free_requested,
            .position = block->first,
            .tag = {}});
    }
  }

  void redo(const SnapshotEntry& entry, std::size_t index) {
    if (index == 0) last_time_ = entry.time;
    time_ = entry.time;
    switch (entry.action) {
      case Action::alloc:
        return redo_alloc(entry, index);
      case Action::free_requested:
      case Action::free_completed:
        return redo_free(entry);
      case Action::segment_alloc:
      case Action::segment_map:
        emit(of_segment(EventKind::segment_alloc, entry));
        if (entry.action == Action::segment_alloc) plain_.insert(position(entry.address));
        return;
      case Action::segment_free:
      case Action::segment_unmap:
        free_blocks(position(entry.address), entry.size);
        emit(of_segment(EventKind::segment_free, entry));
        plain_.erase(position(entry.address));
        return;
      case Action::oom:
        return emit({.kind = EventKind::oom,
                     .size = file_.own ? entry.size : segment_bytes(entry.size, file_.config),
                     .requested = entry.size,
                     .stream = entry.stream,
                     .tag = frames_.tag(entry.frames)});
      case Action::snapshot:
        return emit({.kind = EventKind::marker, .tag = {.op = "snapshot"}});
      case Action::other:
        ++others_;
    }
  }

  Event of_segment(EventKind kind, const SnapshotEntry& entry) {
    return {.kind = kind,
            .position = position(entry.address),
            .size = entry.size,
            .stream = entry.stream,
            .tag = frames_.tag(entry.frames)};
  }

  SnapshotFile file_;
  const std::string& name_;
  Bytes room_ = 0;  // for segments, where the file tells that alone
  SnapshotPast past_;
  Positions positions_;
  SnapshotFrames frames_;
  LiveState state_;
  std::set<std::uint64_t> plain_;  // positions of segments that are not expandable
  RecordingWriter* writer_ = nullptr;
  std::int64_t index_ = 0;
  std::int64_t time_ = 0;
  std::int64_t last_time_ = 0;
  std::int64_t contradictions_ = 0;
  std::int64_t others_ = 0;
};

}  // namespace

ImportedRecording import_snapshot(const std::string& path, const ImportOptions& options) {
  return import_snapshot(read_whole_file(path), path, options);
}

ImportedRecording import_snapshot(std::string bytes, const std::string& name, const ImportOptions& options) {
  return Import(read_snapshot(std::move(bytes), name, options.device_index), name).run();
}

}  // namespace mnemo::memory
