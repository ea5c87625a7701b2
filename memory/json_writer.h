// Writes plain data as JSON, with the functions of PickleWriter.
#pragma once

#include <cstdint>
#include <deque>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace mnemo::memory {

/// As PickleWriter; what can be written again is written out each time.
class JsonWriter {
 public:
  /// A number by which a value that was written can be referred to.
  using Reference = std::size_t;

  explicit JsonWriter(std::ostream& out) : out_(out) {}
  /// The end: everything is at the stream, whose state says whether that went well.
  void finish();

  void number(std::int64_t value);
  void boolean(bool value);
  /// Bytes that are no UTF-8 become U+FFFD.
  void text(std::string_view value);
  /// A list of two numbers.
  void pair(std::int64_t first, std::int64_t second);

  void begin_dictionary() { begin('{'); }
  void end_dictionary() { end('}'); }
  void begin_list() { begin('['); }
  void end_list() { end(']'); }
  void empty_list() { value("[]"); }
  /// Between two elements of the list begun last: what came so far goes to the stream.
  void next_batch();

  Reference remember();
  void again(Reference reference);

 private:
  struct Level {
    bool dictionary = false;
    std::size_t count = 0;  // of keys and values
    std::size_t begin = 0;  // where it stands in bytes_
  };
  void separate();
  void value(std::string_view text);
  void begin(char bracket);
  void end(char bracket);

  std::ostream& out_;
  std::string bytes_;
  std::vector<Level> levels_;
  std::size_t last_ = 0;  // where the value written last begins
  std::deque<std::string> remembered_;
};

}  // namespace mnemo::memory
