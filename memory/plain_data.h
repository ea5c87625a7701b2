// Plain data that was read from a file: truth values, numbers, texts, lists and dictionaries, and nothing that could do
// anything. Values are numbers into one table, so that parts which a file shares stay shared, in files that refer to
// themselves too: whoever walks through it must bound the walk.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mnemo::memory {

/// A value of `PlainData`: the number under which it is kept.
using PlainId = std::uint32_t;

class PlainData {
 public:
  enum class Kind : std::uint8_t { none, boolean, number, real, text, list, dictionary };

  /// `texts` holds every text to come; see `text`.
  explicit PlainData(std::string texts = {});

  PlainId root() const { return root_; }
  Kind kind(PlainId id) const { return values_[id].kind; }
  /// Of a number, and of a truth value (0 or 1). REQUIRES: that kind
  std::int64_t number(PlainId id) const { return static_cast<std::int64_t>(values_[id].payload); }
  /// REQUIRES: a real
  double real(PlainId id) const;
  /// Valid as long as this is neither added to nor moved. REQUIRES: a text
  std::string_view text(PlainId id) const {
    return std::string_view(texts_).substr(values_[id].payload, values_[id].count);
  }
  /// The elements of a list; key, value, key, value of a dictionary. REQUIRES: one of these
  std::span<const PlainId> items(PlainId id) const;

  // For those that read it.
  static constexpr PlainId kNone = 0;
  static PlainId boolean(bool value) { return value ? 2 : 1; }
  static PlainId zero() { return 3; }
  PlainId add_number(std::int64_t value);
  PlainId add_real(double value);
  /// The text of `size` bytes at `offset` of what was given to the constructor.
  PlainId add_text(std::size_t offset, std::size_t size);
  /// A copy of `text`.
  PlainId add_text(std::string_view text);
  PlainId add_container(Kind kind);
  /// More items for the list or the dictionary `container`.
  void append(PlainId container, std::span<const PlainId> items);
  void set_root(PlainId root) { root_ = root; }
  std::string_view texts() const { return texts_; }

 private:
  struct Value {
    Kind kind = Kind::none;
    std::uint32_t count = 0;    // bytes of a text
    std::uint64_t payload = 0;  // a number, a real's bits, a text's offset, a container's index + 1 (0: empty)
  };
  PlainId add(Value value);

  std::string texts_;
  std::vector<Value> values_;
  std::deque<std::vector<PlainId>> containers_;  // of those that hold something
  PlainId root_ = kNone;
};

/// Reads JSON. Throws FileError with `name` and the place for what is no JSON, nested more than 100 deep, or larger
/// than 4 GiB. Takes at most some 60 times the memory of the file, usually 4 times.
PlainData read_json(const std::string& bytes, const std::string& name);

}  // namespace mnemo::memory
