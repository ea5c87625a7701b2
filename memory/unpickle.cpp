#include <mnemo/memory/unpickle.h>

#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kDeepest = 200;

/// Opcodes that are refused, by the names under which Python's documentation warns of them.
constexpr std::array<std::pair<unsigned char, const char*>, 33> kRefused{{
    {'c', "GLOBAL"},
    {0x93, "STACK_GLOBAL"},
    {'R', "REDUCE"},
    {'b', "BUILD"},
    {'i', "INST"},
    {'o', "OBJ"},
    {0x81, "NEWOBJ"},
    {0x92, "NEWOBJ_EX"},
    {'P', "PERSID"},
    {'Q', "BINPERSID"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {'I', "INT"},
    {'L', "LONG"},
    {'F', "FLOAT"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'p', "PUT"},
    {'g', "GET"},
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {0x8b, "LONG4"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
}};

class Unpickler {
 public:
  Unpickler(std::string bytes, const std::string& name) : data_(std::move(bytes)), bytes_(data_.texts()), name_(name) {}

  PlainData read() {
    if (bytes_.size() >> 32 != 0) refuse("is larger than 4 GiB");
    if (!bytes_.starts_with('\x80')) refuse("is no pickle of protocol 2 to 4");
    while (!step()) {
    }
    if (!marks_.empty() || stack_.size() != 1) refuse("ends with {} values, not with one", stack_.size());
    data_.set_root(stack_.front());
    return std::move(data_);
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    throw FileError(
        fmt::format("{}: {} (at byte {})", name_, fmt::format(format, std::forward<Args>(args)...), opcode_));
  }

  /// Advances past `size` bytes; returns where they began.
  std::size_t take(std::uint64_t size) {
    if (size > bytes_.size() - at_) refuse("ends in the middle of a value");
    return std::exchange(at_, at_ + static_cast<std::size_t>(size));
  }
  std::uint64_t unsigned_number(std::size_t size) {
    const std::size_t begin = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes_[begin + i]);
    return value;
  }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void push(PlainId id) { stack_.push_back(id); }
  PlainId top() {
    if (stack_.size() <= floor()) refuse("takes a value where there is none");
    return stack_.back();
  }
  PlainId pop() {
    const PlainId id = top();
    stack_.pop_back();
    return id;
  }

  void mark() {
    if (marks_.size() >= kDeepest) refuse("is nested more than {} deep", kDeepest);
    marks_.push_back(stack_.size());
  }

  void push_text(std::uint64_t size) {
    const std::size_t begin = take(size);
    push(data_.add_text(begin, static_cast<std::size_t>(size)));
  }

  /// A whole number of `size` bytes, two's complement.
  void push_long(std::size_t size) {
    const std::size_t begin = take(size);
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes_[begin + i]); };
    const bool negative = size > 0 && byte(size - 1) >= 0x80;
    if (size <= 8) {
      std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
      for (std::size_t i = size; i-- > 0;) value = value << 8 | byte(i);
      return push(data_.add_number(static_cast<std::int64_t>(value)));
    }
    double value = negative ? -1 : 0;
    for (std::size_t i = size; i-- > 0;) value = value * 256 + byte(i);
    push(data_.add_real(value));
  }

  void push_container(PlainData::Kind kind, std::size_t from) {
    const PlainId container = data_.add_container(kind);
    fill(container, from);
    push(container);
  }
  /// What the stack holds from `from` on becomes part of `container`.
  void fill(PlainId container, std::size_t from) {
    if (data_.kind(container) == PlainData::Kind::dictionary && (stack_.size() - from) % 2 != 0) {
      refuse("has a key without a value");
    }
    data_.append(container, std::span(stack_).subspan(from));
    stack_.resize(from);
  }
  std::size_t pop_mark() {
    if (marks_.empty()) refuse("ends a collection that did not begin");
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    return mark;
  }
  void push_tuple(std::size_t size) {
    if (stack_.size() < floor() + size) refuse("takes a value where there is none");
    push_container(PlainData::Kind::list, stack_.size() - size);
  }
  /// The collection below what the stack holds from `from` on takes it.
  void append(PlainData::Kind kind, std::size_t from) {
    if (from <= floor()) refuse("adds to a collection where there is none");
    const PlainId container = stack_[from - 1];
    if (data_.kind(container) != kind) refuse("adds to what is no {}", kind == PlainData::Kind::list ? "list" : "dict");
    fill(container, from);
  }
  void append_last(PlainData::Kind kind, std::size_t count) {
    if (stack_.size() < floor() + count) refuse("takes a value where there is none");
    append(kind, stack_.size() - count);
  }

  void put(std::uint64_t index) {
    // Python counts what it remembers: never more than there are bytes.
    if (index > opcode_) refuse("remembers a value as number {}", index);
    if (index >= memo_.size()) memo_.resize(static_cast<std::size_t>(index) + 1, kForgotten);
    memo_[static_cast<std::size_t>(index)] = top();
  }
  void get(std::uint64_t index) {
    if (index >= memo_.size() || memo_[static_cast<std::size_t>(index)] == kForgotten) {
      refuse("takes value number {}, which was not remembered", index);
    }
    push(memo_[static_cast<std::size_t>(index)]);
  }

  void protocol() {
    const std::uint64_t version = unsigned_number(1);
    if (version < 2 || version > 4) {
      refuse("is a pickle of protocol {}; protocols 2 to 4 are read: write it with pickle.dump(..., protocol=4)",
             version);
    }
  }

  [[noreturn]] void refuse_opcode(unsigned char opcode) const {
    for (const auto& [refused, name] : kRefused) {
      if (refused != opcode) continue;
      refuse(
          "has the opcode {}: only plain data is read (dicts, lists, texts, numbers), for anything else could do harm",
          name);
    }
    refuse("has an unknown opcode 0x{:02x}", static_cast<unsigned>(opcode));
  }

  /// Takes one opcode; true at the end.
  bool step() {
    using Kind = PlainData::Kind;
    opcode_ = at_;
    const auto opcode = static_cast<unsigned char>(bytes_[take(1)]);
    switch (opcode) {
      case 0x80:  // PROTO
        protocol();
        break;
      case 0x95:  // FRAME: how much may be read at once, of which all is there
        if (unsigned_number(8) > bytes_.size() - at_) refuse("ends in the middle of a frame");
        break;
      case '.':  // STOP
        return true;
      case '(':
        mark();
        break;
      case '}':
        push(data_.add_container(Kind::dictionary));
        break;
      case ']':
      case ')':
        push(data_.add_container(Kind::list));
        break;
      case 'd':
        push_container(Kind::dictionary, pop_mark());
        break;
      case 'l':
      case 't':
        push_container(Kind::list, pop_mark());
        break;
      case 0x85:  // TUPLE1 to TUPLE3
      case 0x86:
      case 0x87:
        push_tuple(opcode - std::size_t{0x84});
        break;
      case 'a':
        append_last(Kind::list, 1);
        break;
      case 's':
        append_last(Kind::dictionary, 2);
        break;
      case 'e':
        append(Kind::list, pop_mark());
        break;
      case 'u':
        append(Kind::dictionary, pop_mark());
        break;
      case 'N':
        push(PlainData::kNone);
        break;
      case 0x88:
      case 0x89:
        push(PlainData::boolean(opcode == 0x88));
        break;
      case 'J':  // BININT
        push_long(4);
        break;
      case 'K':  // BININT1
        push(data_.add_number(static_cast<std::int64_t>(unsigned_number(1))));
        break;
      case 'M':  // BININT2
        push(data_.add_number(static_cast<std::int64_t>(unsigned_number(2))));
        break;
      case 0x8a:  // LONG1
        push_long(static_cast<std::size_t>(unsigned_number(1)));
        break;
      case 'G': {  // BINFLOAT, the highest byte first
        std::uint64_t bits = 0;
        for (int i = 0; i < 8; ++i) bits = bits << 8 | unsigned_number(1);
        push(data_.add_real(std::bit_cast<double>(bits)));
        break;
      }
      case 0x8c:  // SHORT_BINUNICODE
      case 'C':   // SHORT_BINBYTES
        push_text(unsigned_number(1));
        break;
      case 'X':  // BINUNICODE
      case 'B':  // BINBYTES
        push_text(unsigned_number(4));
        break;
      case 0x8d:  // BINUNICODE8
        push_text(unsigned_number(8));
        break;
      case 'q':
        put(unsigned_number(1));
        break;
      case 'r':
        put(unsigned_number(4));
        break;
      case 0x94:  // MEMOIZE
        put(memo_.size());
        break;
      case 'h':
        get(unsigned_number(1));
        break;
      case 'j':
        get(unsigned_number(4));
        break;
      default:
        refuse_opcode(opcode);
    }
    return false;
  }

  static constexpr PlainId kForgotten = ~PlainId{0};

  PlainData data_;
  std::string_view bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::size_t opcode_ = 0;  // where the present one stands
  std::vector<PlainId> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PlainId> memo_;
};

}  // namespace

PlainData unpickle(std::string bytes, const std::string& name) { return Unpickler(std::move(bytes), name).read(); }

}  // namespace mnemo::memory
