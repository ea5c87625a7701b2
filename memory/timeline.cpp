#include <mnemo/memory/timeline.h>

#include <fmt/format.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/recording_format.h>

namespace mnemo::memory {

Timeline::Timeline(const Recording& recording) : Timeline(recording.contents_) {}

Timeline::Timeline(std::shared_ptr<const Recording::Contents> contents)
    : contents_(std::move(contents)), decoder_({}, contents_->texts, false), timed_(contents_->header.timed) {
  begin();
}

void Timeline::refuse(const char* reason) const {
  throw FileError(fmt::format("{}: event {} {}", contents_->name, index_ + 1, reason));
}

/// The state before the first event.
void Timeline::begin() {
  state_ = {};
  chunk_ = 0;
  left_ = 0;
  decoder_ = EventDecoder({}, contents_->texts, false);
  index_ = -1;
  time_ = 0;
  try {
    for (const Recording::Contents::CodedChunk& chunk : contents_->before) {
      EventDecoder decoder(chunk.code, contents_->texts, timed_);
      for (std::int64_t left = chunk.count; left > 0; --left) {
        event_ = decoder.next().event;
        state_.apply(event_, -1);
      }
      if (!decoder.done()) throw FileError("is followed by bytes that are no event");
    }
  } catch (const FileError& error) {
    throw FileError(fmt::format("{}: what was alive at the beginning {}", contents_->name, error.what()));
  }
  event_ = {};
  event_.allocated = allocated();
  event_.reserved = reserved();
}

bool Timeline::step() {
  while (left_ == 0) {
    if (!decoder_.done()) refuse("is followed by bytes that are no event");
    if (chunk_ == contents_->chunks.size()) return false;
    const Recording::Contents::CodedChunk& chunk = contents_->chunks[chunk_++];
    if (chunk.allocated != allocated() || chunk.reserved != reserved()) {
      refuse("does not follow from those before it: the totals differ");
    }
    left_ = chunk.count;
    decoder_ = EventDecoder(chunk.code, contents_->texts, timed_);
  }
  const EventDecoder::Decoded decoded = decoder_.next();
  --left_;
  event_ = decoded.event;
  // A sum that overflows is of a file that lies about its times, and about nothing else.
  time_ = static_cast<std::int64_t>((static_cast<std::uint64_t>(time_) + decoded.elapsed) & (~std::uint64_t{0} >> 1));
  state_.apply(event_, index_ + 1);
  ++index_;
  return true;
}

bool Timeline::next() {
  try {
    return step();
  } catch (const FileError& error) {
    refuse(error.what());
  }
}

void Timeline::seek(std::int64_t index) {
  if (index < index_) begin();
  while (index_ < index && next()) {
  }
}

}  // namespace mnemo::memory
