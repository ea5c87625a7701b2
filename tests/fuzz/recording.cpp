// Any bytes as a recording: refused with a FileError, or one that everything can walk through. Its checksums are set
// right first, for a fuzzer would never guess one.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <streambuf>
#include <string>
#include <string_view>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/chrome_trace.h>
#include <mnemo/memory/collapsed.h>
#include <mnemo/memory/csv.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recording_format.h>
#include <mnemo/memory/timeline.h>

namespace {

using namespace mnemo::memory;

/// The same file with right checksums, as far as it has sections.
std::string with_checksums(std::string_view bytes) {
  constexpr std::size_t kHead = 9;
  const std::size_t before = kRecordingMagic.size() + kRecordingVersion.size();
  if (bytes.size() < before) return std::string(bytes);
  std::ostringstream out;
  out << bytes.substr(0, before);
  bytes.remove_prefix(before);
  while (bytes.size() >= kHead) {
    std::size_t size = 0;
    for (std::size_t i = 4; i > 0; --i) size = size << 8 | static_cast<std::uint8_t>(bytes[i]);
    if (size > bytes.size() - kHead) break;
    write_section(out, static_cast<SectionKind>(bytes[0]), bytes.substr(kHead, size));
    bytes.remove_prefix(kHead + size);
  }
  out << bytes;
  return std::move(out).str();
}

/// Takes everything and keeps nothing.
struct Nowhere : std::streambuf {
  int overflow(int c) override { return c == traits_type::eof() ? 0 : c; }
  std::streamsize xsputn(const char*, std::streamsize size) override { return size; }
};

void read(std::string bytes) {
  try {
    const Recording recording = Recording::parse(std::move(bytes), "recording");
    Nowhere nowhere;
    std::ostream out(&nowhere);
    write_chrome_trace(recording, out);
    write_collapsed(recording, out);
    write_blocks_csv(recording, out);
    write_events_csv(recording, out);
    write_memory_viz(recording, out);
    write_memory_viz_json(recording, out);
    calls_of(recording);
  } catch (const mnemo::FileError&) {
  } catch (const mnemo::ConfigError&) {  // options of the allocator in its header
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  read(with_checksums(bytes));
  return 0;
}
