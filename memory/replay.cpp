#include <mnemo/memory/replay.h>

#include <algorithm>
#include <charconv>
#include <istream>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include <mnemo/memory/allocator.h>
#include <mnemo/memory/error.h>

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

/// What an ID of the trace stands for.
struct Name {
  enum class State : std::uint8_t { live, freed, failed } state = State::live;
  Block* block = nullptr;  // live; nullptr for 0 bytes
};

class Replay {
 public:
  Replay(const std::string& name, const AllocatorConfig& config, Bytes capacity)
      : name_(name),
        source_(new VirtualSource(capacity)),
        allocator_(std::unique_ptr<Source>(source_), config, "virtual device") {}

  void line(std::string_view text) {
    ++line_;
    const std::string_view operation = trim(text.substr(0, text.find('#')));
    if (operation.empty()) return;
    perform(fields_of(operation));
    result_.events.push_back({allocator_.allocated(), allocator_.reserved()});
  }

  ReplayResult result() {
    result_.statistics = allocator_.statistics();
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(fmt::format("{}:{}: {}", name_, line_, reason));
  }

  void perform(const std::vector<std::string_view>& fields) {
    const std::string_view verb = fields[0];
    const auto expect = [&](std::size_t count, std::string_view form) {
      if (fields.size() != count) refuse(fmt::format("{} fields where '{}' has {}", fields.size(), form, count));
    };
    if (verb == "alloc") {
      expect(4, "alloc,ID,BYTES,STREAM");
      alloc(id(fields[1]), bytes(fields[2]), stream(fields[3]));
    } else if (verb == "free") {
      expect(2, "free,ID");
      free(id(fields[1]));
    } else if (verb == "record_stream") {
      expect(3, "record_stream,ID,STREAM");
      record_stream(id(fields[1]), stream(fields[2]));
    } else if (verb == "complete") {
      expect(1, "complete");
      source_->complete_events();
    } else if (verb == "empty_cache") {
      expect(1, "empty_cache");
      allocator_.empty_cache();
    } else if (verb == "reset_peak") {
      expect(1, "reset_peak");
      allocator_.reset_peak();
    } else {
      refuse(fmt::format(
          "unknown operation '{}'; known are alloc, free, record_stream, complete, empty_cache, reset_peak", verb));
    }
  }

  std::string id(std::string_view field) const {
    if (field.empty()) refuse("empty ID");
    return std::string(field);
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

  Name& live_or_failed(const std::string& id) {
    const auto found = names_.find(id);
    if (found == names_.end()) refuse(fmt::format("'{}' was never allocated", id));
    if (found->second.state == Name::State::freed) refuse(fmt::format("'{}' is already freed", id));
    return found->second;
  }

  void alloc(const std::string& id, Bytes bytes, StreamId stream) {
    const auto [place, fresh] = names_.try_emplace(id);
    if (!fresh && place->second.state == Name::State::live) refuse(fmt::format("'{}' is already allocated", id));
    try {
      place->second = {Name::State::live, allocator_.malloc(bytes, stream)};
    } catch (const OutOfMemory&) {
      place->second = {Name::State::failed, nullptr};
    }
  }

  void free(const std::string& id) {
    Name& name = live_or_failed(id);
    if (name.state == Name::State::failed) return;
    allocator_.free(name.block);
    name = {Name::State::freed, nullptr};
  }

  void record_stream(const std::string& id, StreamId stream) {
    allocator_.record_stream(live_or_failed(id).block, stream);
  }

  const std::string& name_;
  std::size_t line_ = 0;
  VirtualSource* source_;  // owned by the allocator
  CachingAllocator allocator_;
  std::unordered_map<std::string, Name> names_;
  ReplayResult result_;
};

}  // namespace

ReplayResult replay(std::istream& trace, const std::string& name, const AllocatorConfig& config, Bytes capacity) {
  Replay replay(name, config, capacity);
  for (std::string line; std::getline(trace, line);) replay.line(line);
  if (trace.bad()) throw FileError(name + ": cannot be read");
  return replay.result();
}

}  // namespace mnemo::memory
