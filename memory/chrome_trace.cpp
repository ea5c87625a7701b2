#include <mnemo/memory/chrome_trace.h>

#include <iterator>
#include <map>
#include <ostream>
#include <string>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mnemo/memory/timeline.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kBuffer = 64 * 1024;

class ChromeTrace {
 public:
  ChromeTrace(const Recording& recording, std::ostream& out) : recording_(recording), timeline_(recording), out_(out) {}

  void write() {
    write_head();
    write_totals();
    for (const auto& [position, block] : timeline_.state().blocks()) {
      if (!block.waiting) begin_block(position, block);
    }
    while (timeline_.next()) {
      time_ = timeline_.time();
      write_event(timeline_.event());
      write_totals();
      if (timeline_.index() == recording_.peak().event) instant("peak", 0);
    }
    ++time_;  // what is alive at the end is so until after the last event
    for (const auto& [position, block] : timeline_.state().blocks()) {
      if (!block.waiting) end_block(position);
    }
    if (in_phase_) line(R"("ph":"E","tid":0)");
    buffer_ += "\n]}\n";
    out_.write(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    out_.flush();
  }

 private:
  /// The text in quotes, escaped.
  static std::string quoted(std::string_view text) {
    using Json = nlohmann::json;
    return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
  }
  /// The same for the texts of tags, remembered by their address.
  const std::string& quoted_tag(const char* text) {
    const auto [place, fresh] = quoted_.try_emplace(text);
    if (fresh) place->second = quoted(text);
    return place->second;
  }

  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(buffer_), "{}{{\"pid\":1,\"ts\":{},", first_ ? "\n" : ",\n", time_);
    fmt::format_to(std::back_inserter(buffer_), format, std::forward<Args>(args)...);
    buffer_ += '}';
    first_ = false;
    if (buffer_.size() < kBuffer) return;
    out_.write(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    buffer_.clear();
  }

  void write_head() {
    const RecordingHeader& header = recording_.header();
    buffer_ += R"({"displayTimeUnit":"ms","otherData":{)";
    buffer_ += fmt::format(R"("device":{},"capacity":"{}","allocator":{},"time":"{}")", quoted(header.device),
                           header.capacity, quoted(header.allocator), header.timed ? "microseconds" : "events");
    for (const auto& [key, value] : header.metadata) {
      buffer_ += fmt::format(",{}:{}", quoted("given: " + key), quoted(value));
    }
    buffer_ += R"(},"traceEvents":[)";
    line(R"("ph":"M","name":"process_name","args":{{"name":{}}})", quoted("memory of " + header.device));
    line(R"("ph":"M","tid":0,"name":"thread_name","args":{{"name":"phases and markers"}})");
  }

  void counter(std::string_view what, Bytes bytes, Bytes& before) {
    if (bytes == before) return;
    before = bytes;
    line(R"("ph":"C","name":"{}","args":{{"bytes":{}}})", what, bytes);
  }

  void write_totals() {
    counter("allocated", timeline_.allocated(), allocated_);
    counter("reserved", timeline_.reserved(), reserved_);
    for (std::size_t i = 0; i < categories_.size(); ++i) {
      counter(name(static_cast<Category>(i)), timeline_.categories()[i], categories_[i]);
    }
  }

  void instant(std::string_view what, Bytes bytes) {
    line(R"("ph":"i","s":"g","tid":0,"name":{},"args":{{"bytes":{},"allocated":{},"reserved":{}}})", quoted(what),
         bytes, timeline_.allocated(), timeline_.reserved());
  }

  void enter_phase(const Tag& tag) {
    if (in_phase_ && tag.phase == phase_ && tag.step == step_) return;
    if (in_phase_) line(R"("ph":"E","tid":0)");
    in_phase_ = true;
    phase_ = tag.phase;
    step_ = tag.step;
    line(R"("ph":"B","tid":0,"name":"{}","args":{{"step":{}}})", name(phase_), step_);
  }

  /// A block's slices share its position as their number: no two of them are alive at once.
  void begin_block(std::uint64_t position, const LiveBlock& block) {
    const char* op = *block.tag.op == '\0' ? name(block.tag.category) : block.tag.op;
    names_[position] = op;
    line(R"("ph":"b","cat":"block","id":"{:#x}","tid":1,"name":{},"args":{{"bytes":{},"requested":{},"category":"{}",)"
         R"("module":{},"phase":"{}","step":{},"stream":{}}})",
         position, quoted_tag(op), block.size, block.requested, name(block.tag.category), quoted_tag(block.tag.module),
         name(block.tag.phase), block.tag.step, block.stream);
  }
  void end_block(std::uint64_t position) {
    const auto found = names_.find(position);
    line(R"("ph":"e","cat":"block","id":"{:#x}","tid":1,"name":{})", position, quoted_tag(found->second));
    names_.erase(found);
  }

  void write_event(const Event& event) {
    switch (event.kind) {
      case EventKind::alloc:
        enter_phase(event.tag);
        begin_block(event.position, timeline_.state().blocks().at(event.position));
        break;
      case EventKind::free_requested:
        end_block(event.position);
        break;
      case EventKind::retag:
        line(R"("ph":"n","cat":"block","id":"{:#x}","tid":1,"name":{},"args":{{"category":"{}","was":"{}","op":{}}})",
             event.position, quoted_tag(names_.at(event.position)), name(event.tag.category), name(event.before),
             quoted_tag(event.tag.op));
        break;
      case EventKind::oom:
        instant("out of memory", event.requested);
        break;
      case EventKind::marker:
        enter_phase(event.tag);
        instant(event.tag.op, 0);
        break;
      case EventKind::free_completed:
      case EventKind::segment_alloc:
      case EventKind::segment_free:
        break;
    }
  }

  const Recording& recording_;
  Timeline timeline_;
  std::ostream& out_;
  std::string buffer_;
  bool first_ = true;
  std::int64_t time_ = 0;
  Bytes allocated_ = -1;
  Bytes reserved_ = -1;
  CategoryBytes categories_{};
  bool in_phase_ = false;
  Phase phase_ = Phase::setup;
  std::int64_t step_ = 0;
  std::unordered_map<const char*, std::string> quoted_;
  std::map<std::uint64_t, const char*> names_;  // of the blocks alive, by position
};

}  // namespace

void write_chrome_trace(const Recording& recording, std::ostream& out) { ChromeTrace(recording, out).write(); }

}  // namespace mnemo::memory
