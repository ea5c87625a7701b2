// Writes plain data (texts, whole numbers, truth values, lists, dictionaries) as a Python pickle of protocol 2, with
// only the opcodes that every reader of memory snapshots knows.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

namespace mnemo::memory {

/// Values are written one after the other; those between `begin_...` and `end_...` become its contents, a dictionary's
/// as key, value, key, value. Nothing is checked.
class PickleWriter {
 public:
  /// A number by which a value that was written can be referred to.
  using Reference = std::uint32_t;

  /// Writes to `out`, whose state says whether that went well.
  explicit PickleWriter(std::ostream& out);
  /// The end of the pickle: everything is at `out`.
  void finish();

  void number(std::int64_t value);
  void boolean(bool value);
  /// Bytes that are no UTF-8 become U+FFFD.
  void text(std::string_view value);
  /// Two numbers.
  void pair(std::int64_t first, std::int64_t second);

  void begin_dictionary() { bytes_ += "}("; }
  void end_dictionary() { put('u'); }
  void begin_list() { bytes_ += "]("; }
  void end_list() { put('e'); }
  void empty_list() { put(']'); }
  /// Between two elements of the list begun last: what came so far is appended, so that readers need no deep stack.
  void next_batch() { bytes_ += "e("; }

  /// Makes the value written last one that can be written again by its reference.
  Reference remember();
  void again(Reference reference);

 private:
  void put(char opcode);

  std::ostream& out_;
  std::string bytes_;
  Reference next_ = 0;
};

}  // namespace mnemo::memory
