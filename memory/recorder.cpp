#include <mnemo/memory/recorder.h>

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include <mnemo/memory/error.h>
#include <mnemo/memory/log.h>
#include <mnemo/memory/recorder_state.h>
#include <mnemo/memory/thread_lock.h>

namespace mnemo::memory {
namespace {

constexpr std::size_t kChunkBytes = 32 * 1024;
constexpr std::int64_t kChunkEvents = 4096;  // of a ring

/// The state of memory that a snapshot shows.
LiveState live_state(const std::vector<SegmentView>& segments) {
  LiveState state;
  const auto apply = [&](EventKind kind, const BlockView& block, StreamId stream) {
    Event event{.kind = kind,
                .position = block.position,
                .size = block.size,
                .requested = block.requested,
                .stream = stream,
                .tag = block.tag};
    state.apply(event, -1);
  };
  for (const SegmentView& segment : segments) {
    apply(EventKind::segment_alloc, {.position = segment.position, .size = segment.size, .requested = 0, .tag = {}},
          segment.stream);
    for (const BlockView& block : segment.blocks) {
      if (block.state == BlockView::State::inactive) continue;
      apply(EventKind::alloc, block, segment.stream);
      if (block.state == BlockView::State::pending_free) apply(EventKind::free_requested, block, segment.stream);
    }
  }
  return state;
}

}  // namespace

Recorder::State::State(CachingAllocator& allocator, std::string path, Ring ring, RecordingAbout about)
    : path_(std::move(path)),
      header_{std::move(about.device),
              allocator.source().capacity(),
              about.context,
              allocator.config().text(),
              about.timed,
              std::move(about.metadata)},
      ring_(ring.events),
      encoder_(about.timed) {
  // Of this program, also where the rest is what another one said.
  std::erase_if(header_.metadata, [](const auto& item) { return item.first == "version"; });
  header_.metadata.emplace_back("version", MNEMO_VERSION);
  if (in_memory()) {
    if (ring_ < 1)
      throw ConfigError(fmt::format("a ring of {} events can record nothing; at least 1 is allowed", ring_));
    chunk_limit_ = std::clamp<std::int64_t>(ring_ / 16, 1, kChunkEvents);
    code_.resize(static_cast<std::size_t>(chunk_limit_) * EventEncoder::kMost);
  } else {
    file_.open(path_, std::ios::binary | std::ios::trunc);
    check_file();
    code_.resize(kChunkBytes + EventEncoder::kMost);
  }
  end_ = code_.data();
  begin(allocator);
}

void Recorder::State::check_file() {
  if (!file_) throw FileError(path_ + ": cannot be written");
}

/// Takes what is alive, at a moment between two events, and lets events come in from there on.
void Recorder::State::begin(CachingAllocator& allocator) {
  subscription_ = allocator.subscribe([this](const Event& event) { listen(event); });
  std::unique_lock lock(mutex_, std::defer_lock);
  for (int attempt = 1;; ++attempt) {
    // Having had the allocator's lock, this thread is likely to get it again before another one does.
    allocator.allocated();
    lock.lock();
    early_ = 0;
    lock.unlock();
    const std::vector<SegmentView> segments = allocator.snapshot();
    lock.lock();
    if (early_ == 0) {
      before_ = live_state(segments);
      break;
    }
    lock.unlock();
    if (attempt == 100'000) throw Error("recording cannot begin: other threads allocate without a pause");
  }
  totals_ = {0, before_.allocated(), before_.reserved(), before_.categories()};
  if (!in_memory()) {
    file_ << kRecordingMagic << kRecordingVersion;
    write_section(file_, SectionKind::header, header_payload(header_));
    write_before(file_, written_texts_);
    before_ = {};
    file_.flush();
    check_file();
  }
  stage_ = Stage::recording;
}

void Recorder::State::listen(const Event& event) noexcept {
  const ThreadLock lock(mutex_);
  if (stage_ == Stage::starting) ++early_;
  if (stage_ != Stage::recording) return;
  try {
    record(event);
  } catch (const std::exception& error) {
    error_ = error.what();
    stage_ = Stage::stopped;
  }
}

std::uint64_t Recorder::State::elapsed() {
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_);
  return static_cast<std::uint64_t>(since.count() - std::exchange(time_, since.count()));
}

void Recorder::State::begin_chunk() {
  if (in_memory()) {
    while (sealed_events_ + chunk_limit_ > ring_) drop_oldest();
  }
  chunk_ = {totals_.events, 0, totals_.allocated, totals_.reserved};
  encoder_.begin_chunk();
}

void Recorder::State::record(const Event& event) {
  if (chunk_.count == 0) begin_chunk();
  ++chunk_.count;
  ++totals_.events;
  if (encoder_.is_completion(event)) {
    *end_++ = EventEncoder::kCompletion;
  } else {
    end_ = encoder_.encode(end_, event, header_.timed ? elapsed() : 0);
  }
  totals_.allocated = event.allocated;
  totals_.reserved = event.reserved;
  const auto category = [&](Category which) -> Bytes& { return totals_.categories[static_cast<std::size_t>(which)]; };
  switch (event.kind) {
    case EventKind::alloc:
      category(event.tag.category) += event.size;
      break;
    case EventKind::free_requested:
      category(event.tag.category) -= event.size;
      break;
    case EventKind::retag:
      category(event.before) -= event.size;
      category(event.tag.category) += event.size;
      break;
    default:
      break;
  }
  const bool full = chunk_.count == chunk_limit_ || code_size() >= kChunkBytes;
  // After an OutOfMemory a program often ends without being asked.
  if (full || (event.kind == EventKind::oom && !in_memory())) seal();
}

/// The present chunk goes where chunks go.
void Recorder::State::seal() {
  if (chunk_.count == 0) return;
  if (in_memory()) {
    sealed_.push_back({chunk_, std::string(code())});
    sealed_events_ += chunk_.count;
  } else {
    write_section(file_, SectionKind::events, chunk_head(chunk_, encoder_.texts(), written_texts_), code());
    written_texts_ = encoder_.texts().size();
    file_.flush();
    check_file();
  }
  chunk_.count = 0;
  end_ = code_.data();
}

/// What the oldest events led to becomes part of what was alive at the beginning.
void Recorder::State::drop_oldest() {
  EventDecoder decoder(sealed_.front().code, encoder_.texts(), header_.timed);
  while (!decoder.done()) {
    Event event = decoder.next().event;
    before_.apply(event, -1);
  }
  sealed_events_ -= sealed_.front().count;
  sealed_.pop_front();
}

/// What is alive before the first event, in chunks; `texts` counts those that were written.
void Recorder::State::write_before(std::ostream& out, std::size_t& texts) {
  EventEncoder& encoder = encoder_;
  std::vector<std::uint8_t> buffer(kChunkBytes + EventEncoder::kMost);
  std::uint8_t* to = buffer.data();
  Chunk chunk;
  const auto flush = [&] {
    if (chunk.count == 0) return;
    write_section(out, SectionKind::before, chunk_head(chunk, encoder.texts(), texts),
                  {reinterpret_cast<const char*>(buffer.data()), static_cast<std::size_t>(to - buffer.data())});
    texts = encoder.texts().size();
    to = buffer.data();
    chunk.count = 0;
    encoder.begin_chunk();
  };
  encoder.begin_chunk();
  for (const Event& event : before_.events()) {
    to = encoder.encode(to, event, 0);
    ++chunk.count;
    if (static_cast<std::size_t>(to - buffer.data()) >= kChunkBytes) flush();
  }
  flush();
}

void Recorder::State::write(std::ostream& out) {
  const std::lock_guard lock(mutex_);
  if (!error_.empty()) throw FileError("recording ceased: " + error_);
  seal();
  out << kRecordingMagic << kRecordingVersion;
  write_section(out, SectionKind::header, header_payload(header_));
  std::size_t texts = 0;
  write_before(out, texts);
  for (const SealedChunk& chunk : sealed_) {
    write_section(out, SectionKind::events, chunk_head(chunk, encoder_.texts(), texts), chunk.code);
    texts = encoder_.texts().size();
  }
  write_section(out, SectionKind::end, end_payload(totals_));
}

void Recorder::State::stop() {
  subscription_.reset();
  const std::lock_guard lock(mutex_);
  if (std::exchange(ended_, true)) return;
  stage_ = Stage::stopped;
  if (!error_.empty()) throw FileError("recording ceased: " + error_);
  if (in_memory()) return;
  seal();
  write_section(file_, SectionKind::end, end_payload(totals_));
  file_.close();
  check_file();
}

std::int64_t Recorder::State::events() const {
  const std::lock_guard lock(mutex_);
  return totals_.events;
}

Recorder::Recorder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Recorder::Recorder(Recorder&&) noexcept = default;

Recorder::~Recorder() {
  if (state_ == nullptr) return;
  try {
    state_->stop();
  } catch (const std::exception& error) {
    log_warning(error.what());
  }
}

void Recorder::stop() { state_->stop(); }

std::int64_t Recorder::events() const { return state_->events(); }

Recording Recorder::recording() const {
  if (!state_->in_memory()) throw Error("this recorder keeps nothing in memory: stop it and read its file");
  std::ostringstream bytes;
  state_->write(bytes);
  return Recording::parse(std::move(bytes).str(), "the recording");
}

void Recorder::save(const std::string& path) const {
  if (!state_->in_memory()) throw Error("this recorder writes its own file");
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (file) state_->write(file);
  file.close();
  if (!file) throw FileError(path + ": cannot be written");
}

Recorder record(CachingAllocator& allocator, const std::string& path, RecordingAbout about) {
  if (path.empty()) throw FileError("a recording needs the name of a file");
  return Recorder(std::make_unique<Recorder::State>(allocator, path, Ring{}, std::move(about)));
}

Recorder record(CachingAllocator& allocator, Ring ring, RecordingAbout about) {
  return Recorder(std::make_unique<Recorder::State>(allocator, std::string(), ring, std::move(about)));
}

}  // namespace mnemo::memory
