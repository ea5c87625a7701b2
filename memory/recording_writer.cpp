#include <mnemo/memory/recording_writer.h>

#include <ostream>

namespace mnemo::memory {
namespace {

constexpr std::size_t kChunkBytes = 32 * 1024;

}  // namespace

RecordingWriter::RecordingWriter(std::ostream& out, const RecordingHeader& header, const LiveState& before)
    : out_(out), encoder_(header.timed), code_(kChunkBytes + EventEncoder::kMost) {
  out_ << kRecordingMagic << kRecordingVersion;
  write_section(out_, SectionKind::header, header_payload(header));
  for (const Event& event : before.events()) put(SectionKind::before, event, 0);
  seal(SectionKind::before);
  allocated_ = before.allocated();
  reserved_ = before.reserved();
}

void RecordingWriter::put(SectionKind kind, const Event& event, std::uint64_t elapsed) {
  if (chunk_.count == 0) encoder_.begin_chunk();
  ++chunk_.count;
  const std::uint8_t* const end = encoder_.encode(code_.data() + size_, event, elapsed);
  size_ = static_cast<std::size_t>(end - code_.data());
  if (size_ >= kChunkBytes) seal(kind);
}

void RecordingWriter::seal(SectionKind kind) {
  if (chunk_.count == 0) return;
  write_section(out_, kind, chunk_head(chunk_, encoder_.texts(), written_texts_),
                {reinterpret_cast<const char*>(code_.data()), size_});
  written_texts_ = encoder_.texts().size();
  chunk_.count = 0;
  size_ = 0;
}

void RecordingWriter::add(const Event& event, std::uint64_t elapsed) {
  if (chunk_.count == 0) chunk_ = {events_, 0, allocated_, reserved_};
  ++events_;
  allocated_ = event.allocated;
  reserved_ = event.reserved;
  put(SectionKind::events, event, elapsed);
}

void RecordingWriter::finish(const LiveState& end) {
  seal(SectionKind::events);
  write_section(out_, SectionKind::end, end_payload({events_, end.allocated(), end.reserved(), end.categories()}));
  out_.flush();
}

}  // namespace mnemo::memory
