#include <mnemo/memory/snapshot_file.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/snapshot_pools.h>
#include <mnemo/memory/unpickle.h>

namespace mnemo::memory {
namespace {

using Kind = PlainData::Kind;
using Action = SnapshotEntry::Action;

constexpr std::size_t kMostKeys = 100;                          // of a dictionary; a real one has a dozen
constexpr std::uint64_t kMostAddress = std::uint64_t{1} << 57;  // as wide as addresses are; sums cannot overflow

constexpr std::array<std::string_view, 9> kActions{
    "alloc", "free_requested", "free_completed", "segment_alloc", "segment_free", "segment_map", "segment_unmap",
    "oom",   "snapshot",
};

/// Categories by their names, ours and those of PyTorch's profiler.
Category category_of(std::string_view text) {
  for (int i = 0; i < kCategories; ++i) {
    if (text == name(static_cast<Category>(i))) return static_cast<Category>(i);
  }
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (lower == "activation") return Category::saved_activation;
  if (lower == "autograd_detail") return Category::temporary;
  for (int i = 0; i < kCategories; ++i) {
    if (lower == name(static_cast<Category>(i))) return static_cast<Category>(i);
  }
  return Category::other;
}

class SnapshotReader {
 public:
  SnapshotReader(PlainData data, const std::string& name) : name_(name) { file_.data = std::move(data); }

  SnapshotFile read(int device_index) {
    if (data().kind(data().root()) != Kind::dictionary) refuse("is no snapshot: it holds no dictionary");
    const PlainId segments = list(data().root(), "segments");
    const PlainId traces = list(data().root(), "device_traces");
    choose_device(traces, segments, device_index);
    const std::span<const PlainId> all = data().items(segments);
    for (std::size_t i = 0; i < all.size(); ++i) {
      place_ = fmt::format("segments[{}]", i);
      read_segment(all[i]);
    }
    place_.clear();
    check_segments();
    const std::span<const PlainId> devices = data().items(traces);
    if (file_.device_index < devices.size()) read_trace(devices[file_.device_index]);
    file_.private_pools = pools_.size();
    read_settings();
    read_own();
    return std::move(file_);
  }

 private:
  const PlainData& data() const { return file_.data; }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    const std::string text = fmt::format(format, std::forward<Args>(args)...);
    throw FileError(fmt::format("{}: {}{}{}", name_, place_, place_.empty() ? "" : " ", text));
  }

  /// The place is made up for an error alone: that a trace has none saves much time.
  void entry_place(std::size_t index) { place_ = fmt::format("event {}", index); }

  PlainId list(PlainId dictionary, std::string_view key) const {
    const PlainId found = SnapshotFile::find(data(), dictionary, key);
    if (data().kind(found) != Kind::list) refuse("has no list '{}', as a snapshot has", key);
    return found;
  }

  std::int64_t number(PlainId id, std::string_view key) const {
    if (data().kind(id) == Kind::number) return data().number(id);
    refuse("has a '{}' that is no number of at most 63 bits", key);
  }
  Bytes size(PlainId id, std::string_view key) const {
    const std::int64_t value = number(id, key);
    if (value < 0 || static_cast<std::uint64_t>(value) > kMostAddress) refuse("has a '{}' of {}", key, value);
    return value;
  }
  std::uint64_t address(PlainId id, std::string_view key) const { return static_cast<std::uint64_t>(size(id, key)); }
  std::string_view text(PlainId id, std::string_view key) const {
    if (data().kind(id) == Kind::text) return data().text(id);
    refuse("has a '{}' that is no text", key);
  }
  void dictionary(PlainId id) const {
    if (data().kind(id) != Kind::dictionary) refuse("is no dictionary");
    if (data().items(id).size() > 2 * kMostKeys) refuse("has more than {} keys", kMostKeys);
  }
  /// Calls `read(key, value)` for each of a dictionary's entries.
  template <class Read>
  void each(PlainId id, Read read) const {
    dictionary(id);
    const std::span<const PlainId> items = data().items(id);
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (data().kind(items[i]) == Kind::text) read(data().text(items[i]), items[i + 1]);
    }
  }

  void choose_device(PlainId traces, PlainId segments, int wanted) {
    const std::span<const PlainId> devices = data().items(traces);
    std::size_t most = 0;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      if (data().kind(devices[i]) != Kind::list) refuse("has no list in device_traces[{}]", i);
      const std::size_t events = data().items(devices[i]).size();
      file_.traced_devices += events > 0 ? 1 : 0;
      if (events > most) file_.device_index = i;
      most = std::max(most, events);
    }
    if (wanted >= 0) {
      file_.device_index = static_cast<std::size_t>(wanted);
      if (file_.device_index >= std::max<std::size_t>(devices.size(), 1)) {
        throw ConfigError(fmt::format("{} has no device {}: it has {}", name_, wanted, devices.size()));
      }
    } else if (most == 0 && !data().items(segments).empty()) {
      // Without a trace: the first device that has memory.
      const PlainId first = data().items(segments).front();
      if (data().kind(first) != Kind::dictionary) refuse("segments[0] is no dictionary");
      const PlainId device = SnapshotFile::find(data(), first, "device");
      if (data().kind(device) == Kind::number) file_.device_index = address(device, "device");
    }
  }

  void read_segment(PlainId id) {
    SnapshotSegment segment;
    std::uint64_t device = 0;
    PlainId blocks = PlainData::kNone;
    bool placed = false;
    SnapshotPools::Pool pool;
    each(id, [&](std::string_view key, PlainId value) {
      if (key == "device") device = address(value, key);
      if (key == "address") segment.address = address(value, key), placed = true;
      if (key == "total_size") segment.size = size(value, key);
      if (key == "stream") segment.stream = number(value, key);
      if (key == "is_expandable") segment.expandable = data().kind(value) == Kind::boolean && data().number(value) != 0;
      if (key == "blocks") blocks = value;
      if (key == "segment_pool_id") pool = SnapshotPools::read(data(), value).value_or(SnapshotPools::Pool{});
    });
    if (device != file_.device_index) return;
    if (!placed || segment.size == 0) refuse("has no address or no size");
    if (data().kind(blocks) != Kind::list) refuse("has no list 'blocks'");
    if (!seen_.insert(blocks).second) refuse("has the blocks of another segment");
    if (pool != SnapshotPools::Pool{}) pools_.cover(segment.address, segment.size, pool);
    segment.stream = pools_.stream(pool, segment.stream);
    std::uint64_t at = segment.address;
    const std::uint64_t end = segment.address + static_cast<std::uint64_t>(segment.size);
    std::size_t index = 0;
    const std::string place = place_;
    for (const PlainId block : data().items(blocks)) {
      place_ = fmt::format("{}.blocks[{}]", place, index++);
      read_block(block, segment, at);
      if (at > end) refuse("ends beyond its segment");
    }
    place_ = place;
    if (at != end) refuse("has blocks of {} bytes together, not {}", at - segment.address, segment.size);
    file_.segments.push_back(std::move(segment));
  }

  /// Reads the block at `at`, which then is its end.
  void read_block(PlainId id, SnapshotSegment& segment, std::uint64_t& at) const {
    SnapshotBlock block{.address = at};
    Bytes requested = -1;
    std::string_view state;
    each(id, [&](std::string_view key, PlainId value) {
      if (key == "address") block.address = address(value, key);
      if (key == "size") block.size = size(value, key);
      if (key == "requested_size") requested = size(value, key);
      if (key == "state") state = text(value, key);
      if (key == "frames") block.frames = value;
    });
    if (block.size == 0) refuse("has no size");
    if (block.address != at) refuse("begins at 0x{:x}, not at 0x{:x} where the one before ends", block.address, at);
    at += static_cast<std::uint64_t>(block.size);
    if (state == "inactive") return;
    block.requested = requested < 0 ? block.size : std::min(requested, block.size);
    block.waiting = state != "active_allocated";
    if (block.waiting && state != "active_pending_free" && state != "active_awaiting_free") {
      refuse("has the state '{}'", state);
    }
    segment.blocks.push_back(block);
  }

  void check_segments() {
    std::vector<SnapshotSegment>& segments = file_.segments;
    std::sort(segments.begin(), segments.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
    for (std::size_t i = 1; i < segments.size(); ++i) {
      const SnapshotSegment& before = segments[i - 1];
      if (before.address + static_cast<std::uint64_t>(before.size) > segments[i].address) {
        refuse("has segments that overlap, at 0x{:x} and 0x{:x}", before.address, segments[i].address);
      }
    }
  }

  void read_trace(PlainId trace) {
    const std::span<const PlainId> entries = data().items(trace);
    file_.trace.reserve(entries.size());
    place_.clear();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      try {
        file_.trace.push_back(read_entry(entries[i]));
      } catch (const FileError&) {
        entry_place(i);
        file_.trace.push_back(read_entry(entries[i]));  // again, for an error that says where
      }
      SnapshotEntry& entry = file_.trace.back();
      file_.timed |= entry.time != 0;
      entry.stream =
          pools_.stream(SnapshotPools::read(data(), entry.pool).value_or(pools_.at(entry.address)), entry.stream);
    }
  }

  SnapshotEntry read_entry(PlainId id) const {
    SnapshotEntry entry;
    std::string_view action;
    PlainId bytes = data().zero();
    bool placed = false;
    each(id, [&](std::string_view key, PlainId value) {
      if (key == "action") action = text(value, key);
      if (key == "addr") entry.address = address(value, key), placed = true;
      if (key == "size") bytes = value;
      if (key == "device_free") entry.device_free = size(value, key);
      if (key == "stream") entry.stream = number(value, key);
      if (key == "time_us") entry.time = number(value, key);
      if (key == "frames") entry.frames = value;
      if (key == "pool_id") entry.pool = value;
      if (key == "category" && data().kind(value) == Kind::text) entry.category = category_of(data().text(value));
    });
    if (action.empty()) refuse("has no 'action'");
    const auto known = std::find(kActions.begin(), kActions.end(), action);
    entry.action = static_cast<Action>(known - kActions.begin());
    // What could not be had may be any number.
    entry.size =
        entry.action == Action::oom ? std::clamp<Bytes>(number(bytes, "size"), 0, Bytes{1} << 62) : size(bytes, "size");
    if (entry.action < Action::oom && !placed) refuse("has no 'addr'");
    if (entry.action >= Action::segment_alloc && entry.action < Action::oom && entry.size == 0) refuse("has no size");
    return entry;
  }

  void take_options(std::string_view text) {
    std::vector<std::string> known;
    std::string all;
    int depth = 0;
    for (std::size_t begin = 0, i = 0; i <= text.size(); ++i) {
      if (i < text.size() && (text[i] == '[' || text[i] == ']')) depth += text[i] == '[' ? 1 : -1;
      if (i < text.size() && (text[i] != ',' || depth > 0)) continue;
      const std::string_view option = text.substr(begin, i - begin);
      begin = i + 1;
      if (option.find_first_not_of(" \t\n") == std::string_view::npos) continue;
      const std::string with = all.empty() ? std::string(option) : fmt::format("{},{}", all, option);
      try {
        file_.config = AllocatorConfig::parse(with);
        all = with;
      } catch (const ConfigError&) {
        file_.unknown_options.emplace_back(option);
      }
      if (file_.unknown_options.size() + all.size() / 8 > 100) return;
    }
  }

  void read_settings() {
    const PlainId settings = SnapshotFile::find(data(), data().root(), "allocator_settings");
    if (data().kind(settings) != Kind::dictionary) return;
    place_ = "allocator_settings";
    each(settings, [&](std::string_view key, PlainId value) {
      if (key.ends_with("_CONF") && data().kind(value) == Kind::text) take_options(data().text(value));
    });
    AllocatorConfig config = file_.config;
    each(settings, [&](std::string_view key, PlainId value) { take_setting(config, key, value); });
    try {
      config.check();
      file_.config = config;
    } catch (const ConfigError& error) {
      file_.unknown_options.emplace_back(error.what());
    }
    place_.clear();
  }

  void take_setting(AllocatorConfig& config, std::string_view key, PlainId value) const {
    const Kind kind = data().kind(value);
    if (key == "max_split_size" && kind == Kind::number && data().number(value) >= 0) {
      config.max_split_size = data().number(value);
    }
    if (key == "garbage_collection_threshold" && kind == Kind::real) {
      config.garbage_collection_threshold = data().real(value);
    }
    if (key == "expandable_segments" && kind == Kind::boolean) config.expandable_segments = data().number(value) != 0;
    if (key == "roundup_power2_divisions" && kind == Kind::dictionary) {
      each(value, [&](std::string_view size, PlainId divisions) {
        std::uint64_t mebibytes = 0;
        for (const char digit : size.substr(0, 6)) {
          if (digit < '0' || digit > '9') return;
          mebibytes = mebibytes * 10 + static_cast<std::uint64_t>(digit - '0');
        }
        if (!std::has_single_bit(mebibytes) || mebibytes > 32768 || data().kind(divisions) != Kind::number) return;
        const std::int64_t into = data().number(divisions);
        if (into < 0 || into > 1024 || (into > 0 && !std::has_single_bit(static_cast<std::uint64_t>(into)))) return;
        config.roundup_power2_divisions[static_cast<std::size_t>(std::countr_zero(mebibytes))] = static_cast<int>(into);
      });
    }
  }

  /// What mnemo itself writes about a recording.
  void read_own() {
    const PlainId own = SnapshotFile::find(data(), data().root(), "mnemo");
    if (data().kind(own) != Kind::dictionary) return;
    file_.own = true;
    place_ = "mnemo";
    each(own, [&](std::string_view key, PlainId value) {
      if (key == "device") file_.device = text(value, key);
      if (key == "capacity") file_.capacity = size(value, key);
      if (key == "timed") file_.timed = data().kind(value) == Kind::boolean && data().number(value) != 0;
    });
    place_.clear();
  }

  const std::string& name_;
  std::string place_;
  SnapshotFile file_;
  std::set<PlainId> seen_;
  SnapshotPools pools_;
};

PlainData read_data(std::string bytes, const std::string& name) {
  const auto refuse = [&](const char* what) {
    throw FileError(fmt::format(
        "{}: {}; read are snapshots as torch.cuda.memory._dump_snapshot writes them (a pickle of protocol 2 to 4), "
        "or the same as JSON",
        name, what));
  };
  const std::size_t begin = bytes.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) refuse("is empty");
  if (bytes.starts_with('\x80')) return unpickle(std::move(bytes), name);
  if (bytes.starts_with("PK")) refuse("is a zip file");
  if (bytes.starts_with("\x1f\x8b")) refuse("is compressed: gunzip it first");
  if (bytes[begin] != '{' && !bytes.starts_with("\xef\xbb\xbf")) refuse("is no snapshot");
  return read_json(bytes, name);
}

}  // namespace

const char* name(SnapshotEntry::Action action) {
  return action == Action::other ? "other" : kActions[static_cast<std::size_t>(action)].data();
}

PlainId SnapshotFile::find(const PlainData& data, PlainId dictionary, std::string_view key) {
  const std::span<const PlainId> items = data.items(dictionary);
  if (items.size() > 2 * kMostKeys) throw FileError(fmt::format("has a dictionary of more than {} keys", kMostKeys));
  for (std::size_t i = items.size() / 2; i-- > 0;) {  // of equal keys the last one counts
    if (data.kind(items[2 * i]) == Kind::text && data.text(items[2 * i]) == key) return items[2 * i + 1];
  }
  return PlainData::kNone;
}

SnapshotFile read_snapshot(std::string bytes, const std::string& name, int device_index) {
  PlainData data = read_data(std::move(bytes), name);
  return SnapshotReader(std::move(data), name).read(device_index);
}

}  // namespace mnemo::memory
