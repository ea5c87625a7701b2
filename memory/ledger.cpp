#include <mnemo/memory/ledger.h>

#include <cassert>
#include <mutex>
#include <utility>

#include <mnemo/memory/thread_lock.h>

namespace mnemo::memory {

/// A listener and whether it still wants to be called. The lock makes ending it wait for a call on another thread;
/// it is recursive so that a listener can end itself.
struct Ledger::Subscription {
  std::recursive_mutex mutex;
  bool ended = false;
  Listener listener;
};

std::shared_ptr<void> Ledger::subscribe(Listener listener) {
  auto subscription = std::make_shared<Subscription>();
  subscription->listener = std::move(listener);
  subscriptions_.push_back(subscription);
  return std::shared_ptr<void>(subscription.get(), [subscription](void*) {
    const std::lock_guard lock(subscription->mutex);
    subscription->ended = true;
  });
}

namespace {

template <class Subscriptions>
[[gnu::noinline]] void drop_ended(Subscriptions& subscriptions) {
  std::erase_if(subscriptions, [](const auto& subscription) {
    const ThreadLock lock(subscription->mutex);
    return subscription->ended;
  });
}

/// By reference: copying an event that was written field by field just before costs as much as all the rest.
template <class Subscriptions>
void tell(Subscriptions& subscriptions, const Event& event) {
  bool ended = false;
  for (const auto& subscription : subscriptions) {
    const ThreadLock lock(subscription->mutex);
    if (!subscription->ended) subscription->listener(event);
    ended |= subscription->ended;
  }
  if (ended) drop_ended(subscriptions);
}

}  // namespace

void Ledger::emit(Event event) noexcept {
  event.allocated = allocated_;
  event.reserved = reserved_;
  tell(subscriptions_, event);
}

void Ledger::emit(EventKind kind, const Block& block, Category before) noexcept {
  tell(subscriptions_, {.kind = kind,
                        .position = block.position,
                        .size = block.size,
                        .requested = block.requested,
                        .stream = block.stream,
                        .tag = block.tag,
                        .before = before,
                        .allocated = allocated_,
                        .reserved = reserved_});
}

void Ledger::reset_peak() { peak_ = {.allocated = allocated_, .categories = categories_, .tag = {}}; }

void Ledger::allocated(const Block& block) {
  allocated_ += block.size;
  categories_[static_cast<std::size_t>(block.tag.category)] += block.size;
  if (allocated_ > peak_.allocated) peak_ = {.allocated = allocated_, .categories = categories_, .tag = block.tag};
  if (listened()) emit(EventKind::alloc, block);
}

void Ledger::free_requested(const Block& block) {
  allocated_ -= block.size;
  categories_[static_cast<std::size_t>(block.tag.category)] -= block.size;
  if (listened()) emit(EventKind::free_requested, block);
}

void Ledger::free_completed(const Block& block) {
  if (listened()) emit(EventKind::free_completed, block);
}

void Ledger::retagged(const Block& block, Category before) {
  assert(block.allocated);
  categories_[static_cast<std::size_t>(before)] -= block.size;
  categories_[static_cast<std::size_t>(block.tag.category)] += block.size;
  if (listened()) emit(EventKind::retag, block, before);
}

void Ledger::segment_allocated(std::uint64_t position, Bytes size, StreamId stream) {
  reserved_ += size;
  if (!listened()) return;
  emit({.kind = EventKind::segment_alloc, .position = position, .size = size, .stream = stream, .tag = current_tag()});
}

void Ledger::segment_freed(std::uint64_t position, Bytes size, StreamId stream) {
  reserved_ -= size;
  if (!listened()) return;
  emit({.kind = EventKind::segment_free, .position = position, .size = size, .stream = stream, .tag = current_tag()});
}

void Ledger::out_of_memory(Bytes requested, Bytes segment, StreamId stream) {
  if (!listened()) return;
  emit({.kind = EventKind::oom, .size = segment, .requested = requested, .stream = stream, .tag = current_tag()});
}

void Ledger::marker(const char* text) {
  if (!listened()) return;
  Tag tag = current_tag();
  tag.op = text;
  emit({.kind = EventKind::marker, .tag = tag});
}

}  // namespace mnemo::memory
