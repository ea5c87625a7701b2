#include <mnemo/memory/report_data.h>

#include <map>
#include <tuple>
#include <unordered_map>

#include <mnemo/memory/timeline.h>
#include <mnemo/memory/varint.h>

namespace mnemo::memory {
namespace {

class Columns {
 public:
  void add(const Event& event) {
    kind_.push_back(static_cast<char>(event.kind));
    switch (event.kind) {
      case EventKind::alloc:
        add_place(event);
        append_signed(slack_, event.size - event.requested);
        add_tag(event.tag);
        append_signed(stream_, event.stream);
        alive_[event.position] = allocations_++;
        break;
      case EventKind::free_requested:
        add_block(event);
        break;
      case EventKind::free_completed:
        add_block(event);
        alive_.erase(event.position);
        break;
      case EventKind::retag:
        add_block(event);
        add_tag(event.tag);
        break;
      case EventKind::segment_alloc:
      case EventKind::segment_free:
        add_place(event);
        add_tag(event.tag);
        append_signed(stream_, event.stream);
        break;
      case EventKind::oom:
        append(size_, static_cast<std::uint64_t>(event.size));
        append_signed(slack_, event.size - event.requested);
        add_tag(event.tag);
        append_signed(stream_, event.stream);
        break;
      case EventKind::marker:
        add_tag(event.tag);
        break;
    }
  }

  void add_time(std::int64_t time) {
    append_signed(time_, time - last_time_);
    last_time_ = time;
  }

  void move_to(ReportData& data) {
    data.texts = std::move(texts_);
    data.tags = std::move(tags_);
    data.columns = {{"kind", std::move(kind_)},   {"place", std::move(place_)},   {"size", std::move(size_)},
                    {"slack", std::move(slack_)}, {"tag", std::move(tag_)},       {"step", std::move(step_)},
                    {"block", std::move(block_)}, {"stream", std::move(stream_)}, {"time", std::move(time_)}};
  }

 private:
  void add_place(const Event& event) {
    const auto position = static_cast<std::int64_t>(event.position);
    append_signed(place_, position - last_position_);
    last_position_ = position;
    append(size_, static_cast<std::uint64_t>(event.size));
  }

  void add_block(const Event& event) { append(block_, allocations_ - 1 - alive_.at(event.position)); }

  std::size_t text(const char* text) {
    const auto [place, fresh] = text_numbers_.try_emplace(text, texts_.size());
    if (fresh) texts_.push_back(text);
    return place->second;
  }

  void add_tag(const Tag& tag) {
    const std::array key{static_cast<std::size_t>(tag.category), static_cast<std::size_t>(tag.phase), text(tag.op),
                         text(tag.module)};
    const auto [place, fresh] = tag_numbers_.try_emplace(key, tags_.size());
    if (fresh) tags_.push_back(key);
    append(tag_, place->second);
    append_signed(step_, tag.step - last_step_);
    last_step_ = tag.step;
  }

  std::string kind_, place_, size_, slack_, tag_, step_, block_, stream_, time_;
  std::uint64_t allocations_ = 0;
  std::int64_t last_position_ = 0, last_step_ = 0, last_time_ = 0;
  std::unordered_map<std::uint64_t, std::uint64_t> alive_;  // position -> number of its alloc
  std::vector<const char*> texts_;
  std::unordered_map<std::string_view, std::size_t> text_numbers_;
  std::vector<std::array<std::size_t, 4>> tags_;
  std::map<std::array<std::size_t, 4>, std::size_t> tag_numbers_;
};

}  // namespace

ReportData::ReportData(const Recording& recording) {
  Columns writer;
  Timeline timeline(recording);
  for (const Event& event : timeline.state().events()) {
    writer.add(event);
    ++initial;
  }
  while (timeline.next()) {
    writer.add(timeline.event());
    if (recording.header().timed) writer.add_time(timeline.time());
  }
  allocated = timeline.allocated();
  reserved = timeline.reserved();
  categories = timeline.categories();
  writer.move_to(*this);
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) -> unsigned {
      return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U;
    };
    const unsigned group = byte(0) << 16 | byte(1) << 8 | byte(2);
    text += kDigits[group >> 18 & 63];
    text += kDigits[group >> 12 & 63];
    text += i + 1 < bytes.size() ? kDigits[group >> 6 & 63] : '=';
    text += i + 2 < bytes.size() ? kDigits[group & 63] : '=';
  }
  return text;
}

}  // namespace mnemo::memory
