#include <mnemo/memory/json_writer.h>

#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace mnemo::memory {

/// What stands before the next value.
void JsonWriter::separate() {
  if (levels_.empty()) return;
  Level& level = levels_.back();
  if (level.dictionary && level.count % 2 == 1) {
    bytes_ += ':';
  } else if (level.count > 0) {
    bytes_ += level.dictionary ? "," : ",\n";
  }
  ++level.count;
}

void JsonWriter::value(std::string_view text) {
  separate();
  last_ = bytes_.size();
  bytes_ += text;
}

void JsonWriter::begin(char bracket) {
  separate();
  levels_.push_back({bracket == '{', 0, bytes_.size()});
  bytes_ += bracket;
}

void JsonWriter::end(char bracket) {
  last_ = levels_.back().begin;
  levels_.pop_back();
  bytes_ += bracket;
}

void JsonWriter::number(std::int64_t number) { value(fmt::format_int(number).c_str()); }
void JsonWriter::boolean(bool truth) { value(truth ? "true" : "false"); }

void JsonWriter::text(std::string_view text) {
  using Json = nlohmann::json;
  value(Json(text).dump(-1, ' ', true, Json::error_handler_t::replace));
}

void JsonWriter::pair(std::int64_t first, std::int64_t second) {
  begin_list();
  number(first);
  number(second);
  end_list();
}

void JsonWriter::next_batch() {
  out_.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
  bytes_.clear();
  // What is open can no longer be remembered.
  for (Level& level : levels_) level.begin = 0;
  last_ = 0;
}

void JsonWriter::finish() {
  next_batch();
  out_ << '\n';
  out_.flush();
}

JsonWriter::Reference JsonWriter::remember() {
  remembered_.push_back(bytes_.substr(last_));
  return remembered_.size() - 1;
}

void JsonWriter::again(Reference reference) { value(remembered_[reference]); }

}  // namespace mnemo::memory
