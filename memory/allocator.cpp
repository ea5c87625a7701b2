// The public face: every call takes the lock and goes to the state.
#include <mnemo/memory/allocator.h>

#include <cassert>
#include <utility>

#include <mnemo/memory/state.h>
#include <mnemo/memory/thread_lock.h>

namespace mnemo::memory {

CachingAllocator::CachingAllocator(std::unique_ptr<Source> source, AllocatorConfig config, std::string device)
    : state_(std::make_unique<State>(std::move(source), config, std::move(device))) {}

CachingAllocator::~CachingAllocator() = default;

Block* CachingAllocator::malloc(Bytes bytes, StreamId stream) {
  if (bytes == 0) return nullptr;
  if (handled_.load(std::memory_order_acquire)) {
    for (;;) {
      if (Block* block = malloc_or_ask(bytes, stream)) return block;
    }
  }
  const ThreadLock lock(mutex_);
  Block* block = state_->malloc(bytes, stream);
  if (block == nullptr) state_->fail(state_->shortage(bytes, stream), stream);
  return block;
}

Block* CachingAllocator::malloc_or_ask(Bytes bytes, StreamId stream) {
  std::vector<std::shared_ptr<OutOfMemoryHandler>> handlers;
  OutOfMemory::Details details;
  {
    const ThreadLock lock(mutex_);
    if (Block* block = state_->malloc(bytes, stream)) return block;
    details = state_->shortage(bytes, stream);
    if (!details.injected) {
      for (auto handler = handlers_.rbegin(); handler != handlers_.rend(); ++handler) {
        if (auto alive = handler->lock()) handlers.push_back(std::move(alive));
      }
    }
  }
  for (const auto& handler : handlers) {
    if ((*handler)(details)) return nullptr;
  }
  const ThreadLock lock(mutex_);
  OutOfMemory::Details now = state_->shortage(bytes, stream);
  now.injected = details.injected;  // handlers and other threads may have asked for memory meanwhile
  state_->fail(std::move(now), stream);
}

std::shared_ptr<void> CachingAllocator::on_out_of_memory(OutOfMemoryHandler handler) {
  auto kept = std::make_shared<OutOfMemoryHandler>(std::move(handler));
  const ThreadLock lock(mutex_);
  std::erase_if(handlers_, [](const auto& ended) { return ended.expired(); });
  handlers_.push_back(kept);
  handled_.store(true, std::memory_order_release);
  return kept;
}

void CachingAllocator::inject_failures(std::int64_t first, std::int64_t count) {
  const ThreadLock lock(mutex_);
  state_->inject_failures(first, count);
}

void CachingAllocator::free(Block* block) noexcept {
  if (block == nullptr) return;
  const ThreadLock lock(mutex_);
  state_->free(block);
}

void CachingAllocator::record_stream(Block* block, StreamId stream) {
  if (block == nullptr) return;
  const ThreadLock lock(mutex_);
  state_->record_stream(block, stream);
}

void CachingAllocator::retag(Block* block, Category category) {
  if (block == nullptr) return;
  Tag tag = block->tag;
  tag.category = category;
  retag(block, tag);
}

void CachingAllocator::retag(Block* block, const Tag& tag) {
  if (block == nullptr) return;
  const ThreadLock lock(mutex_);
  state_->retag(block, tag);
}

void CachingAllocator::empty_cache() {
  const ThreadLock lock(mutex_);
  state_->empty_cache();
}

void CachingAllocator::keep(StreamId stream, bool kept) {
  const ThreadLock lock(mutex_);
  state_->keep(stream, kept);
}

Bytes CachingAllocator::kept() const {
  const ThreadLock lock(mutex_);
  return state_->kept();
}

Statistics CachingAllocator::statistics() const {
  const ThreadLock lock(mutex_);
  return state_->statistics;
}

void CachingAllocator::reset_peak() {
  const ThreadLock lock(mutex_);
  state_->statistics.reset_peak();
  state_->ledger.reset_peak();
}

void CachingAllocator::reset_accumulated() {
  const ThreadLock lock(mutex_);
  state_->statistics.reset_accumulated();
}

Bytes CachingAllocator::allocated() const {
  const ThreadLock lock(mutex_);
  return state_->ledger.allocated();
}

Bytes CachingAllocator::reserved() const {
  const ThreadLock lock(mutex_);
  return state_->ledger.reserved();
}

CategoryBytes CachingAllocator::categories() const {
  const ThreadLock lock(mutex_);
  return state_->ledger.categories();
}

Peak CachingAllocator::peak() const {
  const ThreadLock lock(mutex_);
  return state_->ledger.peak();
}

std::shared_ptr<void> CachingAllocator::subscribe(Listener listener) {
  const ThreadLock lock(mutex_);
  static std::atomic<std::uint32_t> count{0};
  latest_subscription_.store(++count, std::memory_order_relaxed);
  return state_->ledger.subscribe(std::move(listener));
}

void CachingAllocator::marker(const char* text) {
  const ThreadLock lock(mutex_);
  state_->ledger.marker(text);
}

std::vector<SegmentView> CachingAllocator::snapshot() const {
  const ThreadLock lock(mutex_);
  return state_->snapshot();
}

AllocatorConfig CachingAllocator::config() const {
  const ThreadLock lock(mutex_);
  return state_->config;
}

void CachingAllocator::configure(AllocatorConfig config) {
  const ThreadLock lock(mutex_);
  state_->configure(config);
}

Source& CachingAllocator::source() { return *state_->source; }

}  // namespace mnemo::memory
