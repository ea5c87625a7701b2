// JSON as plain data, through a parser that does not recurse and tells what it sees piece by piece.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mnemo/memory/error.h>
#include <mnemo/memory/plain_data.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kDeepest = 100;

/// Builds the data from what the parser sees; false ends the parsing.
class JsonBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return push(PlainData::kNone); }
  bool boolean(bool value) override { return push(PlainData::boolean(value)); }
  bool number_integer(number_integer_t value) override { return push(data.add_number(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value >> 63 != 0) return push(data.add_real(static_cast<double>(value)));
    return push(data.add_number(static_cast<std::int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t&) override { return push(data.add_real(value)); }
  bool string(string_t& value) override { return push(data.add_text(value)); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& value) override { return push(data.add_text(value)); }

  bool start_object(std::size_t) override { return begin(); }
  bool start_array(std::size_t) override { return begin(); }
  bool end_object() override { return end(PlainData::Kind::dictionary); }
  bool end_array() override { return end(PlainData::Kind::list); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    error = fmt::format("is no valid JSON at byte {}", position);
    return false;
  }

  PlainData data;
  std::vector<PlainId> stack;
  std::string error;

 private:
  bool push(PlainId id) {
    stack.push_back(id);
    return true;
  }

  bool begin() {
    if (marks_.size() >= kDeepest) {
      error = fmt::format("is nested more than {} deep", kDeepest);
      return false;
    }
    marks_.push_back(stack.size());
    return true;
  }

  bool end(PlainData::Kind kind) {
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    const PlainId container = data.add_container(kind);
    data.append(container, std::span(stack).subspan(mark));
    stack.resize(mark);
    return push(container);
  }

  std::vector<std::size_t> marks_;
};

}  // namespace

PlainData read_json(const std::string& bytes, const std::string& name) {
  if (bytes.size() >> 32 != 0) throw FileError(name + ": is larger than 4 GiB");
  JsonBuilder builder;
  const bool whole = nlohmann::json::sax_parse(bytes, &builder);
  if (!whole || builder.stack.size() != 1) {
    throw FileError(fmt::format("{}: {}", name, builder.error.empty() ? "is no valid JSON" : builder.error));
  }
  builder.data.set_root(builder.stack.front());
  return std::move(builder.data);
}

}  // namespace mnemo::memory
