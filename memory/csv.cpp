#include <mnemo/memory/csv.h>

#include <iterator>
#include <ostream>
#include <string>
#include <unordered_map>

#include <fmt/format.h>

#include <mnemo/memory/timeline.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kBuffer = 64 * 1024;

class CsvWriter {
 public:
  explicit CsvWriter(std::ostream& out) : out_(out) {}

  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(buffer_), format, std::forward<Args>(args)...);
    buffer_ += '\n';
    if (buffer_.size() >= kBuffer) flush();
  }
  void flush() {
    out_.write(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    buffer_.clear();
  }

  /// A tag's text as a field: in quotes when it needs them.
  const std::string& field(const char* text) {
    const auto [place, fresh] = fields_.try_emplace(text);
    if (!fresh) return place->second;
    std::string& field = place->second = text;
    if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
    for (std::size_t at = 0; (at = field.find('"', at)) != std::string::npos; at += 2) field.insert(at, 1, '"');
    field.insert(0, 1, '"');
    field += '"';
    return field;
  }

 private:
  std::ostream& out_;
  std::string buffer_;
  std::unordered_map<const char*, std::string> fields_;  // by address: texts stay where they are
};

/// What is known of a live block beyond its state.
struct Life {
  Category first = Category::other;
  std::int64_t since = -1;     // event
  std::int64_t begin = 0;      // time
  std::int64_t freed = -1;     // event
  std::int64_t free_time = 0;  // of it
};

class BlocksCsv {
 public:
  BlocksCsv(const Recording& recording, std::ostream& out) : timeline_(recording), csv_(out) {}

  void write() {
    csv_.line(
        "allocated_event,freed_event,reusable_event,allocated_time,freed_time,reusable_time,position,size,requested,"
        "stream,first_category,last_category,phase,step,op,module");
    for (const auto& [position, block] : timeline_.state().blocks()) lives_[position] = {.first = block.tag.category};
    while (timeline_.next()) follow(timeline_.event());
    for (const auto& [position, block] : timeline_.state().blocks()) {
      end(position, block.size, block.requested, block.stream, block.tag, "", "");
    }
    csv_.flush();
  }

 private:
  void follow(const Event& event) {
    const std::int64_t index = timeline_.index();
    switch (event.kind) {
      case EventKind::alloc:
        lives_[event.position] = {.first = event.tag.category, .since = index, .begin = timeline_.time()};
        break;
      case EventKind::free_requested: {
        Life& life = lives_[event.position];
        life.freed = index;
        life.free_time = timeline_.time();
        break;
      }
      case EventKind::free_completed:
        end(event.position, event.size, event.requested, event.stream, event.tag, std::to_string(index),
            std::to_string(timeline_.time()));
        lives_.erase(event.position);
        break;
      default:
        break;
    }
  }

  void end(std::uint64_t position, Bytes size, Bytes requested, StreamId stream, const Tag& tag,
           const std::string& reusable, const std::string& reusable_time) {
    const Life& life = lives_[position];
    const bool freed = life.freed >= 0;
    csv_.line("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}", life.since, freed ? std::to_string(life.freed) : "",
              reusable, life.begin, freed ? std::to_string(life.free_time) : "", reusable_time, position, size,
              requested, stream, name(life.first), name(tag.category), name(tag.phase), tag.step, csv_.field(tag.op),
              csv_.field(tag.module));
  }

  Timeline timeline_;
  CsvWriter csv_;
  std::unordered_map<std::uint64_t, Life> lives_;
};

}  // namespace

void write_events_csv(const Recording& recording, std::ostream& out) {
  CsvWriter csv(out);
  csv.line("event,time,kind,position,size,requested,stream,category,before,phase,step,op,module,allocated,reserved");
  for (Timeline timeline(recording); timeline.next();) {
    const Event& event = timeline.event();
    const Tag& tag = event.tag;
    csv.line("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}", timeline.index(), timeline.time(), name(event.kind),
             event.position, event.size, event.requested, event.stream, name(tag.category),
             event.kind == EventKind::retag ? name(event.before) : "", name(tag.phase), tag.step, csv.field(tag.op),
             csv.field(tag.module), event.allocated, event.reserved);
  }
  csv.flush();
}

void write_blocks_csv(const Recording& recording, std::ostream& out) { BlocksCsv(recording, out).write(); }

}  // namespace mnemo::memory
