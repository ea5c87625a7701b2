// Events as bytes, about six each: what changed since the event before, and of a free only where, since the block's
// other fields are known from its allocation.
#pragma once

#include <array>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include <mnemo/memory/event.h>
#include <mnemo/memory/varint.h>

namespace mnemo::memory {

/// Numbers for texts with static lifetime; equal texts get the same number. Looking one up again costs a few cycles.
class TextNumbers {
 public:
  std::uint32_t number(const char* text) {
    // Fibonacci hashing: texts that lie at even distances, as interned ones do, get places of their own.
    Known& known = recent_[(reinterpret_cast<std::uintptr_t>(text) * 0x9e3779b97f4a7c15) >> (64 - kRecentBits)];
    return known.text == text ? known.number : look_up(text, known);
  }
  /// Every text by its number.
  const std::deque<std::string>& texts() const { return texts_; }

 private:
  struct Known {
    const char* text = nullptr;
    std::uint32_t number = 0;
  };
  std::uint32_t look_up(const char* text, Known& known);

  static constexpr int kRecentBits = 9;
  std::array<Known, 1 << kRecentBits> recent_{};
  std::unordered_map<const char*, std::uint32_t> by_address_;
  std::unordered_map<std::string_view, std::uint32_t> by_text_;  // views into texts_, which does not move them
  std::deque<std::string> texts_;
};

/// What an event's code is relative to: the event before it, in the same chunk.
struct CodeContext {
  std::uint64_t position = 0;
  StreamId stream = 0;
  Category category = Category::other;
  Phase phase = Phase::setup;
  std::uint64_t op = 0;
  std::uint64_t module = 0;
  std::int64_t step = 0;
};

class EventEncoder {
 public:
  static constexpr std::size_t kMost = 1 + 1 + 8 * kVarintMost;  ///< bytes of one event, at most

  explicit EventEncoder(bool timed) : timed_(timed) {}

  /// The next event begins a chunk: its code depends on none before it.
  void begin_chunk() {
    context_ = {};
    op_ = module_ = nullptr;
  }

  /// Writes `event` at `to`, which has room for kMost bytes, `elapsed` microseconds after the one before; returns the
  /// place after it.
  std::uint8_t* encode(std::uint8_t* to, const Event& event, std::uint64_t elapsed);

  /// The same for a free_completed where the event before was, which is how nearly every free ends.
  bool is_completion(const Event& event) const {
    return event.kind == EventKind::free_completed && event.position == context_.position && !timed_;
  }
  static constexpr std::uint8_t kCompletion = static_cast<std::uint8_t>(EventKind::free_completed) | 0x08;

  const std::deque<std::string>& texts() const { return numbers_.texts(); }

 private:
  std::uint8_t* put_position(std::uint8_t* to, std::uint64_t position);
  std::uint8_t* put_tag(std::uint8_t* to, std::uint8_t& head, const Tag& tag);
  std::uint8_t* put_text(std::uint8_t* to, std::uint8_t& head, std::uint8_t same, const char* text, const char*& before,
                         std::uint64_t& number);

  bool timed_;
  CodeContext context_;
  const char* op_ = nullptr;  // those that the context's numbers stand for
  const char* module_ = nullptr;
  TextNumbers numbers_;
};

/// Reads a chunk's events. What the code of a free or a retag leaves out stays at its default: the state of memory
/// (LiveState) fills it in. Throws FileError, without a file name, for what no encoder writes.
class EventDecoder {
 public:
  /// The bytes and the texts stay the caller's.
  EventDecoder(std::string_view bytes, const std::deque<std::string>& texts, bool timed)
      : reader_(bytes), texts_(&texts), timed_(timed) {}

  bool done() const { return reader_.done(); }

  struct Decoded {
    Event event;
    std::uint64_t elapsed = 0;  ///< microseconds since the event before; 0 when not timed
  };
  Decoded next();

 private:
  std::uint64_t read_position();
  Tag read_tag(std::uint8_t head);
  const char* text(std::uint64_t number) const;

  ByteReader reader_;
  const std::deque<std::string>* texts_;
  bool timed_;
  CodeContext context_;
};

}  // namespace mnemo::memory
