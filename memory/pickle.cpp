#include <mnemo/memory/pickle.h>

#include <ostream>

#include <nlohmann/json.hpp>

namespace mnemo::memory {
namespace {

constexpr std::size_t kBuffer = 64 * 1024;

void append_fixed(std::string& bytes, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i));
}

/// The same text with what is no UTF-8 replaced.
std::string valid_utf8(std::string_view text) {
  using Json = nlohmann::json;
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

}  // namespace

PickleWriter::PickleWriter(std::ostream& out) : out_(out), bytes_("\x80\x02") { bytes_.reserve(kBuffer + 1024); }

void PickleWriter::put(char opcode) {
  bytes_ += opcode;
  if (bytes_.size() < kBuffer) return;
  out_.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
  bytes_.clear();
}

void PickleWriter::finish() {
  bytes_ += '.';
  out_.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
  out_.flush();
  bytes_.clear();
}

void PickleWriter::number(std::int64_t value) {
  if (value >= 0 && value < 256) {
    put('K');
    append_fixed(bytes_, static_cast<std::uint64_t>(value), 1);
  } else if (value >= 0 && value < 65536) {
    put('M');
    append_fixed(bytes_, static_cast<std::uint64_t>(value), 2);
  } else if (value == static_cast<std::int32_t>(value)) {
    put('J');
    append_fixed(bytes_, static_cast<std::uint64_t>(value), 4);
  } else {
    bytes_ += '\x8a';
    put(8);
    append_fixed(bytes_, static_cast<std::uint64_t>(value), 8);
  }
}

void PickleWriter::boolean(bool value) { put(value ? '\x88' : '\x89'); }

void PickleWriter::text(std::string_view value) {
  const std::string valid = valid_utf8(value);
  put('X');
  append_fixed(bytes_, valid.size(), 4);
  bytes_ += valid;
}

void PickleWriter::pair(std::int64_t first, std::int64_t second) {
  number(first);
  number(second);
  put('\x86');
}

PickleWriter::Reference PickleWriter::remember() {
  const Reference reference = next_++;
  put(reference < 256 ? 'q' : 'r');
  append_fixed(bytes_, reference, reference < 256 ? 1 : 4);
  return reference;
}

void PickleWriter::again(Reference reference) {
  put(reference < 256 ? 'h' : 'j');
  append_fixed(bytes_, reference, reference < 256 ? 1 : 4);
}

}  // namespace mnemo::memory
