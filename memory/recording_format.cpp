#include <mnemo/memory/recording_format.h>

#include <array>
#include <ostream>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kAtOnce = 16;
using CrcTables = std::array<std::array<std::uint32_t, 256>, kAtOnce>;

constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0U);
    tables[0][i] = crc;
  }
  for (std::size_t t = 1; t < kAtOnce; ++t) {
    for (std::size_t i = 0; i < 256; ++i) {
      tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 255];
    }
  }
  return tables;
}
constexpr CrcTables kCrc = make_crc_tables();

/// The CRC-32 of zip and PNG, sixteen bytes at a time; `crc` continues an earlier result.
std::uint32_t crc32(std::string_view bytes, std::uint32_t crc = 0) {
  crc = ~crc;
  const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[i])); };
  std::size_t i = 0;
  for (; i + kAtOnce <= bytes.size(); i += kAtOnce) {
    const std::uint32_t low = crc ^ (at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24);
    crc = kCrc[15][low & 255] ^ kCrc[14][(low >> 8) & 255] ^ kCrc[13][(low >> 16) & 255] ^ kCrc[12][low >> 24];
    for (std::size_t k = 4; k < kAtOnce; ++k) crc ^= kCrc[15 - k][at(i + k)];
  }
  for (; i < bytes.size(); ++i) crc = (crc >> 8) ^ kCrc[0][(crc ^ at(i)) & 255];
  return ~crc;
}

constexpr std::size_t kSectionHead = 9;

void put_fixed(char* to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(value >> (8 * i));
}

std::uint32_t read_fixed(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[i])) << 8 * i;
  return value;
}

/// A number that is not negative.
std::int64_t count(ByteReader& reader) {
  const std::uint64_t value = reader.number();
  if (value >> 62 != 0) throw FileError(fmt::format("has {} where a count or a size is expected", value));
  return static_cast<std::int64_t>(value);
}

}  // namespace

void write_section(std::ostream& out, SectionKind kind, std::string_view payload, std::string_view more) {
  const std::size_t size = payload.size() + more.size();
  if (size > 0xffffffffU) throw FileError(fmt::format("a section of {} bytes is too long for a recording", size));
  char head[kSectionHead] = {static_cast<char>(kind)};
  put_fixed(head + 1, static_cast<std::uint32_t>(size));
  put_fixed(head + 5, crc32(more, crc32(payload, crc32({head, 5}))));
  out.write(head, kSectionHead);
  out.write(payload.data(), static_cast<std::streamsize>(payload.size()));
  out.write(more.data(), static_cast<std::streamsize>(more.size()));
}

std::optional<Section> read_section(std::string_view& bytes) {
  if (bytes.size() < kSectionHead) return std::nullopt;
  const auto kind = static_cast<SectionKind>(bytes[0]);
  switch (kind) {
    case SectionKind::header:
    case SectionKind::before:
    case SectionKind::events:
    case SectionKind::end:
      break;
    default:
      throw FileError(fmt::format("has a section of unknown kind {}", static_cast<int>(bytes[0])));
  }
  const std::size_t size = read_fixed(bytes.substr(1));
  if (size > bytes.size() - kSectionHead) return std::nullopt;
  const std::string_view payload = bytes.substr(kSectionHead, size);
  if (crc32(payload, crc32(bytes.substr(0, 5))) != read_fixed(bytes.substr(5))) {
    throw FileError("has a section whose checksum is wrong");
  }
  bytes.remove_prefix(kSectionHead + size);
  return Section{kind, payload};
}

std::string chunk_head(const Chunk& chunk, const std::deque<std::string>& texts, std::size_t from) {
  std::string bytes;
  for (const std::int64_t field : {chunk.first, chunk.count, chunk.allocated, chunk.reserved}) {
    append(bytes, static_cast<std::uint64_t>(field));
  }
  append(bytes, texts.size() - from);
  for (std::size_t i = from; i < texts.size(); ++i) append_text(bytes, texts[i]);
  return bytes;
}

Chunk read_chunk(ByteReader& reader, std::deque<std::string>& texts) {
  Chunk chunk;
  chunk.first = count(reader);
  chunk.count = count(reader);
  chunk.allocated = count(reader);
  chunk.reserved = count(reader);
  for (std::int64_t left = count(reader); left > 0; --left) texts.emplace_back(reader.text());
  return chunk;
}

std::string header_payload(const RecordingHeader& header) {
  std::string bytes;
  append_text(bytes, header.device);
  append(bytes, static_cast<std::uint64_t>(header.capacity));
  append_signed(bytes, header.context.value_or(-1));
  append_text(bytes, header.allocator);
  append(bytes, header.timed ? 1 : 0);
  append(bytes, header.metadata.size());
  for (const auto& [key, value] : header.metadata) {
    append_text(bytes, key);
    append_text(bytes, value);
  }
  return bytes;
}

RecordingHeader read_header(std::string_view payload) {
  ByteReader reader(payload);
  RecordingHeader header;
  header.device = reader.text();
  header.capacity = count(reader);
  const Bytes context = reader.signed_number();
  if (context >= 0) header.context = context;
  header.allocator = reader.text();
  header.timed = reader.number() != 0;
  for (std::int64_t left = count(reader); left > 0; --left) {
    const std::string_view key = reader.text();
    header.metadata.emplace_back(key, reader.text());
  }
  return header;
}

std::string end_payload(const RecordingEnd& end) {
  std::string bytes;
  for (const std::int64_t field : {end.events, end.allocated, end.reserved}) {
    append(bytes, static_cast<std::uint64_t>(field));
  }
  for (const Bytes held : end.categories) append(bytes, static_cast<std::uint64_t>(held));
  return bytes;
}

RecordingEnd read_end(std::string_view payload) {
  ByteReader reader(payload);
  RecordingEnd end;
  end.events = count(reader);
  end.allocated = count(reader);
  end.reserved = count(reader);
  for (Bytes& held : end.categories) held = count(reader);
  return end;
}

}  // namespace mnemo::memory
