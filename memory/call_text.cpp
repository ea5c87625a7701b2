// Calls from files: a trace of text here, anything else by its own reader.
#include <mnemo/memory/call_trace.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <sstream>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/recording_file.h>
#include <mnemo/memory/whole_file.h>

namespace mnemo::memory {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(',', begin), line.size());
    fields.push_back(trim(line.substr(begin, end - begin)));
    begin = end + 1;
  }
  return fields;
}

template <class T>
std::optional<T> read_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

class TextReader {
 public:
  explicit TextReader(const std::string& name) { trace_.name = name; }

  void line(std::string_view text) {
    ++line_;
    const std::string_view operation = trim(text.substr(0, text.find('#')));
    if (operation.empty()) return;
    trace_.calls.push_back(call(fields_of(operation)));
    trace_.lines.push_back(line_);
  }

  CallTrace finish() {
    trace_.blocks = numbers_.size();
    return std::move(trace_);
  }

 private:
  using Kind = Call::Kind;

  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(fmt::format("{}:{}: {}", trace_.name, line_, reason));
  }

  Call call(const std::vector<std::string_view>& fields) {
    const std::string_view verb = fields[0];
    const auto expect = [&](std::size_t count, std::string_view form) {
      if (fields.size() != count) refuse(fmt::format("{} fields where '{}' has {}", fields.size(), form, count));
    };
    const auto plain = [&](Kind kind) {
      expect(1, verb);
      return Call{.kind = kind};
    };
    if (verb == "alloc") {
      expect(4, "alloc,ID,BYTES,STREAM");
      if (fields[1].empty()) refuse("empty ID");
      const auto number = static_cast<std::uint32_t>(numbers_.size());
      return {.kind = Kind::malloc,
              .block = numbers_.try_emplace(std::string(fields[1]), number).first->second,
              .bytes = bytes(fields[2]),
              .stream = stream(fields[3])};
    }
    if (verb == "free") {
      expect(2, "free,ID");
      return {.kind = Kind::free, .block = known(fields[1])};
    }
    if (verb == "record_stream") {
      expect(3, "record_stream,ID,STREAM");
      return {.kind = Kind::record_stream, .block = known(fields[1]), .stream = stream(fields[2])};
    }
    if (verb == "complete") return plain(Kind::complete_all);
    if (verb == "empty_cache") return plain(Kind::empty_cache);
    if (verb == "reset_peak") return plain(Kind::reset_peak);
    refuse(
        fmt::format("unknown operation '{}'; known are alloc, free, record_stream, complete, empty_cache, reset_peak",
                    verb.substr(0, 100)));
  }

  std::uint32_t known(std::string_view id) const {
    if (id.empty()) refuse("empty ID");
    const auto found = numbers_.find(std::string(id));
    if (found == numbers_.end()) refuse(fmt::format("'{}' was never allocated", id));
    return found->second;
  }

  /// Beyond what Bytes can hold every request fails alike, so the largest one stands for them.
  Bytes bytes(std::string_view field) const {
    const auto number = read_number<std::uint64_t>(field);
    if (!number) refuse(fmt::format("'{}' is not a number of bytes from 0 to 2^64-1", field));
    constexpr std::uint64_t kMost = std::numeric_limits<Bytes>::max();
    return static_cast<Bytes>(std::min(*number, kMost));
  }

  StreamId stream(std::string_view field) const {
    const auto number = read_number<StreamId>(field);
    if (!number || *number < 0) refuse(fmt::format("'{}' is not a stream: a number from 0 to 2^63-1", field));
    return *number;
  }

  CallTrace trace_;
  std::uint32_t line_ = 0;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

}  // namespace

CallTrace read_calls(std::istream& text, const std::string& name) {
  TextReader reader(name);
  for (std::string line; std::getline(text, line);) reader.line(line);
  if (text.bad()) throw FileError(name + ": cannot be read");
  return reader.finish();
}

CallTrace read_calls(const std::string& path, const ImportOptions& options) {
  return read_calls(read_whole_file(path), path, options);
}

CallTrace read_calls(std::string bytes, const std::string& name, const ImportOptions& options) {
  if (is_recording(bytes) || is_snapshot(bytes)) {
    RecordingFile read = parse_recording(std::move(bytes), name, options);
    CallTrace trace;
    try {
      trace = calls_of(read.recording);
    } catch (const Error& error) {
      throw FileError(name + ": " + error.what());
    }
    trace.name = name;
    trace.warnings.insert(trace.warnings.begin(), read.warnings.begin(), read.warnings.end());
    return trace;
  }
  if (bytes.substr(0, 4096).find('\0') != std::string::npos) {
    throw FileError(name + ": is no trace of text, no recording and no snapshot of PyTorch's");
  }
  std::istringstream text(std::move(bytes));
  return read_calls(text, name);
}

}  // namespace mnemo::memory
