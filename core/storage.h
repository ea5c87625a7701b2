// The memory of one or several arrays: a block of a device's allocator, shared by counting, with a version
// that in-place changes increase.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <mnemo/core/device.h>
#include <mnemo/memory/block.h>
#include <mnemo/memory/thread_lock.h>

namespace mnemo {

class StandIn;

/// Between which numbers integers lie, both included.
struct IntegerRange {
  std::int64_t least = 0, greatest = -1;
};

class Storage {
 public:
  /// Allocates on the device's current stream, tagged with the current tag; throws OutOfMemory.
  Storage(Device device, memory::Bytes bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  const Device& device() const { return device_; }
  /// Null for 0 bytes; not to be dereferenced on a virtual device.
  std::byte* data() const { return block_ ? block_->data : nullptr; }
  memory::Bytes bytes() const { return bytes_; }
  const memory::Block* block() const { return block_; }

  /// Says that this stream uses the contents too: they are not given to others before it is done with them.
  void record_stream(memory::StreamId stream);

  /// How often the contents were changed in place.
  std::uint32_t version() const { return version_; }
  void changed_in_place() { ++version_; }

  /// What is known of all int64 in here from how they were made, until they are changed in place: a device need not be
  /// waited for then to say whether they are good as indices. Whoever writes by way of `data()` calls changed_in_place.
  /// Repetitions of a recorded step change them without that: what is set while recording must hold for all of these.
  std::optional<IntegerRange> integers() const {
    return integers_version_ == version_ ? std::optional(integers_) : std::nullopt;
  }
  void set_integers(IntegerRange range) {
    integers_ = range;
    integers_version_ = version_;
  }
  /// What is known of those in `from`, of which all in here are copies; nothing while a step is recorded.
  void set_integers_of(const Storage& from);

  /// Exchanges the contents, without a copy: whoever holds either storage sees the other's. REQUIRES: the same device
  /// and size.
  void swap_contents(Storage& other) noexcept;

  /// Whether a leaf that requires a gradient lives here: changing it in place while recording would be wrong silently.
  bool holds_leaf() const { return holds_leaf_; }
  void set_holds_leaf(bool holds_leaf) { holds_leaf_ = holds_leaf; }

  /// What the block is held for; shows in the ledger.
  void set_category(memory::Category category);
  memory::Category category() const;

  /// Which module the block belongs to, if that was not known when it was allocated; shows in the ledger.
  void set_module(const char* module);

  /// Counts gradient closures that hold the storage: a live activation is a saved one while there are any.
  void hold_for_backward();
  void release_from_backward() noexcept;
  bool is_held_for_backward() const { return holds_ > 0; }

  /// What can give the contents again, for gradient closures that would hold the storage (autograd/stand_in.h); expired
  /// where there is nothing, or no more.
  const std::weak_ptr<StandIn>& stand_in() const { return stand_in_; }
  void set_stand_in(std::weak_ptr<StandIn> stand_in) { stand_in_ = std::move(stand_in); }

 private:
  friend class StorageRef;
  std::atomic<int> references_{0};
  std::uint32_t version_ = 0;
  std::uint32_t integers_version_ = UINT32_MAX;  // of which integers_ holds; none yet
  int holds_ = 0;
  bool was_live_activation_ = false;
  bool holds_leaf_ = false;
  Device device_;
  memory::Bytes bytes_;
  memory::Block* block_;
  std::weak_ptr<StandIn> stand_in_;
  IntegerRange integers_;
};

/// A counted reference to a Storage.
class StorageRef {
 public:
  StorageRef() = default;
  explicit StorageRef(Storage* storage) : storage_(storage) { retain(); }
  StorageRef(const StorageRef& other) : storage_(other.storage_) { retain(); }
  StorageRef(StorageRef&& other) noexcept : storage_(other.storage_) { other.storage_ = nullptr; }
  StorageRef& operator=(StorageRef other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~StorageRef() { release(); }

  Storage* operator->() const { return storage_; }
  Storage& operator*() const { return *storage_; }
  explicit operator bool() const { return storage_ != nullptr; }
  bool is_unique() const { return storage_ && storage_->references_.load(std::memory_order_acquire) == 1; }
  friend bool operator==(const StorageRef& a, const StorageRef& b) { return a.storage_ == b.storage_; }

 private:
  void retain() {
    if (storage_) memory::count_up(storage_->references_);
  }
  void release() {
    // Whoever has the only reference need not count it down where others could see it: nobody else can come by one.
    if (storage_ && (is_unique() || memory::count_down(storage_->references_) == 1)) delete storage_;
  }

  Storage* storage_ = nullptr;
};

}  // namespace mnemo
