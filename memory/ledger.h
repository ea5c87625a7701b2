// The ledger: who holds every byte that is allocated. It keeps bytes per category, what the categories
// were at the peak, and hands every event to its listeners. Nothing is unexplained: the categories add up to
// `allocated`.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include <mnemo/memory/block.h>
#include <mnemo/memory/event.h>

namespace mnemo::memory {

using CategoryBytes = std::array<Bytes, kCategories>;

/// The moment at which `allocated` was highest since the last reset; `tag` is of the allocation that reached it.
struct Peak {
  Bytes allocated = 0;
  CategoryBytes categories{};
  Tag tag;
};

/// Receives every event while its subscription lives. Called under the allocator's lock: it must neither call that
/// allocator nor begin a thread that does, and must not throw.
using Listener = std::function<void(const Event&)>;

class Ledger {
 public:
  /// Bytes held per category now; they add up to `allocated()`.
  const CategoryBytes& categories() const { return categories_; }
  Bytes allocated() const { return allocated_; }
  Bytes reserved() const { return reserved_; }
  const Peak& peak() const { return peak_; }
  void reset_peak();

  /// Calls `listener` for every event from now on, until the returned subscription is destroyed: once that is done, no
  /// call is under way on another thread and none follows. It may be destroyed by the listener itself, and after the
  /// ledger.
  [[nodiscard]] std::shared_ptr<void> subscribe(Listener listener);

  /// Called by the allocator, after the block's own fields have changed.
  void allocated(const Block& block);
  void free_requested(const Block& block);
  void free_completed(const Block& block);
  void retagged(const Block& block, Category before);
  void segment_allocated(std::uint64_t position, Bytes size, StreamId stream);
  void segment_freed(std::uint64_t position, Bytes size, StreamId stream);
  void out_of_memory(Bytes requested, Bytes segment, StreamId stream);
  void marker(const char* text);

 private:
  struct Subscription;

  bool listened() const { return !subscriptions_.empty(); }
  void emit(Event event) noexcept;
  void emit(EventKind kind, const Block& block, Category before = Category::other) noexcept;

  CategoryBytes categories_{};
  Bytes allocated_ = 0;
  Bytes reserved_ = 0;
  Peak peak_;
  std::vector<std::shared_ptr<Subscription>> subscriptions_;
};

}  // namespace mnemo::memory
