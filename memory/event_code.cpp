// One event: a head byte (kind, and what is as before), then, where the kind has it and it changed: elapsed time,
// position, size, size - requested, category and phase, step, op, module, stream.
#include <mnemo/memory/event_code.h>

#include <mnemo/memory/error.h>

namespace mnemo::memory {
namespace {

// The head byte; its low three bits are the kind.
constexpr std::uint8_t kSamePosition = 0x08;
constexpr std::uint8_t kSameReason = 0x10;  // category, phase and step
constexpr std::uint8_t kSameOp = 0x20;
constexpr std::uint8_t kSameModule = 0x40;
constexpr std::uint8_t kSameStream = 0x80;

constexpr int kGrainBits = 9;
constexpr std::int64_t kGrain = 1 << kGrainBits;  // nearly every position and size is a multiple

/// A number that is nearly always a multiple of 512; the low bit says that it is not. REQUIRES: |value| < 2^62
std::uint8_t* put_grains(std::uint8_t* to, std::int64_t value) {
  return value % kGrain == 0 ? put(to, fold(value >> kGrainBits) << 1) : put(to, (fold(value) << 1) | 1);
}

std::int64_t read_grains(ByteReader& reader) {
  const std::uint64_t code = reader.number();
  const std::int64_t value = unfold(code >> 1);
  if ((code & 1) != 0) return value;
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(value) * static_cast<std::uint64_t>(kGrain));
}

bool has_tag(EventKind kind) { return kind != EventKind::free_requested && kind != EventKind::free_completed; }
bool has_stream(EventKind kind) { return has_tag(kind) && kind != EventKind::retag && kind != EventKind::marker; }
bool has_position(EventKind kind) { return kind != EventKind::oom && kind != EventKind::marker; }

}  // namespace

std::uint32_t TextNumbers::look_up(const char* text, Known& known) {
  const auto [place, fresh] = by_address_.try_emplace(text, 0);
  if (fresh) {
    auto found = by_text_.find(text);
    if (found == by_text_.end()) {
      const std::string& copy = texts_.emplace_back(text);
      found = by_text_.emplace(copy, static_cast<std::uint32_t>(texts_.size() - 1)).first;
    }
    place->second = found->second;
  }
  known = {text, place->second};
  return place->second;
}

std::uint8_t* EventEncoder::put_position(std::uint8_t* to, std::uint64_t position) {
  to = put_grains(to, static_cast<std::int64_t>(position - context_.position));
  context_.position = position;
  return to;
}

std::uint8_t* EventEncoder::put_tag(std::uint8_t* to, std::uint8_t& head, const Tag& tag) {
  if (tag.category == context_.category && tag.phase == context_.phase && tag.step == context_.step) {
    head |= kSameReason;
  } else {
    *to++ = static_cast<std::uint8_t>(static_cast<unsigned>(tag.category) | static_cast<unsigned>(tag.phase) << 4);
    // Through unsigned numbers: a step may be any number, and so may their difference.
    to = put_signed(to, static_cast<std::int64_t>(static_cast<std::uint64_t>(tag.step) -
                                                  static_cast<std::uint64_t>(context_.step)));
    context_.category = tag.category;
    context_.phase = tag.phase;
    context_.step = tag.step;
  }
  to = put_text(to, head, kSameOp, tag.op, op_, context_.op);
  return put_text(to, head, kSameModule, tag.module, module_, context_.module);
}

/// Writes the number of `text` unless it is `number`, the number of `before`, which it then becomes.
std::uint8_t* EventEncoder::put_text(std::uint8_t* to, std::uint8_t& head, std::uint8_t same, const char* text,
                                     const char*& before, std::uint64_t& number) {
  if (text == before) {
    head |= same;
    return to;
  }
  before = text;
  // Number 0 is the context of a chunk's first event, so texts count from 1.
  const std::uint64_t now = numbers_.number(text) + std::uint64_t{1};
  if (now == number) {
    head |= same;
    return to;
  }
  return put(to, number = now);
}

std::uint8_t* EventEncoder::encode(std::uint8_t* to, const Event& event, std::uint64_t elapsed) {
  std::uint8_t head = static_cast<std::uint8_t>(event.kind);
  std::uint8_t* const begin = to++;
  if (timed_) to = put(to, elapsed);
  if (has_position(event.kind)) {
    if (event.position == context_.position) {
      head |= kSamePosition;
    } else {
      to = put_position(to, event.position);
    }
  }
  switch (event.kind) {
    case EventKind::alloc:
      to = put_grains(to, event.size);
      to = put_signed(to, event.size - event.requested);
      break;
    case EventKind::segment_alloc:
    case EventKind::segment_free:
      to = put_grains(to, event.size);
      break;
    case EventKind::oom:
      // Whatever the caller asked for, which is not a size that was ever given.
      to = put_signed(to, event.size);
      to = put_signed(to, event.requested);
      break;
    default:
      break;
  }
  if (has_tag(event.kind)) to = put_tag(to, head, event.tag);
  if (has_stream(event.kind)) {
    if (event.stream == context_.stream) {
      head |= kSameStream;
    } else {
      to = put_signed(to, context_.stream = event.stream);
    }
  }
  *begin = head;
  return to;
}

const char* EventDecoder::text(std::uint64_t number) const {
  if (number == 0 || number > texts_->size()) throw FileError("names a text that is not there");
  return (*texts_)[static_cast<std::size_t>(number - 1)].c_str();
}

std::uint64_t EventDecoder::read_position() {
  return context_.position += static_cast<std::uint64_t>(read_grains(reader_));
}

Tag EventDecoder::read_tag(std::uint8_t head) {
  if ((head & kSameReason) == 0) {
    const std::uint8_t reason = reader_.byte();
    if ((reason & 15) >= kCategories || (reason >> 4) >= kPhases) throw FileError("has an unknown category or phase");
    context_.category = static_cast<Category>(reason & 15);
    context_.phase = static_cast<Phase>(reason >> 4);
    context_.step = static_cast<std::int64_t>(static_cast<std::uint64_t>(context_.step) +
                                              static_cast<std::uint64_t>(reader_.signed_number()));
  }
  if ((head & kSameOp) == 0) context_.op = reader_.number();
  if ((head & kSameModule) == 0) context_.module = reader_.number();
  return {context_.category, context_.phase, text(context_.op), text(context_.module), context_.step};
}

EventDecoder::Decoded EventDecoder::next() {
  Decoded decoded;
  Event& event = decoded.event;
  const std::uint8_t head = reader_.byte();
  event.kind = static_cast<EventKind>(head & 7);
  if (timed_) decoded.elapsed = reader_.number();
  if (has_position(event.kind)) event.position = (head & kSamePosition) != 0 ? context_.position : read_position();
  switch (event.kind) {
    case EventKind::alloc: {
      event.size = read_grains(reader_);
      const Bytes slack = reader_.signed_number();
      if (slack < 0 || slack > event.size) throw FileError("asks for more than it gets, or for less than nothing");
      event.requested = event.size - slack;
      break;
    }
    case EventKind::segment_alloc:
    case EventKind::segment_free:
      event.size = read_grains(reader_);
      break;
    case EventKind::oom:
      event.size = reader_.signed_number();
      event.requested = reader_.signed_number();
      break;
    default:
      break;
  }
  if (has_tag(event.kind)) event.tag = read_tag(head);
  if (has_stream(event.kind)) {
    if ((head & kSameStream) == 0) context_.stream = reader_.signed_number();
    event.stream = context_.stream;
  }
  return decoded;
}

}  // namespace mnemo::memory
