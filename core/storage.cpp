#include <mnemo/core/storage.h>

#include <utility>

#include <mnemo/core/backend.h>
#include <mnemo/core/capture.h>
#include <mnemo/memory/allocator.h>

namespace mnemo {

using memory::Category;

Storage::Storage(Device device, memory::Bytes bytes)
    : device_(std::move(device)),
      bytes_(bytes),
      block_(device_.allocator().malloc(bytes, device_.backend().current_stream())) {}

Storage::~Storage() { device_.allocator().free(block_); }

void Storage::swap_contents(Storage& other) noexcept {
  std::swap(block_, other.block_);
  changed_in_place();
  other.changed_in_place();
}

void Storage::set_integers_of(const Storage& from) {
  if (const auto range = from.integers(); range && Capture::current() == nullptr) set_integers(*range);
}

void Storage::record_stream(memory::StreamId stream) {
  if (block_ != nullptr) device_.allocator().record_stream(block_, stream);
}

Category Storage::category() const { return block_ ? block_->tag.category : Category::other; }

void Storage::set_category(Category category) {
  was_live_activation_ = false;
  if (block_ && block_->tag.category != category) device_.allocator().retag(block_, category);
}

void Storage::set_module(const char* module) {
  if (block_ == nullptr || *block_->tag.module != '\0' || *module == '\0') return;
  memory::Tag tag = block_->tag;
  tag.module = module;
  device_.allocator().retag(block_, tag);
}

void Storage::hold_for_backward() {
  if (holds_++ > 0 || category() != Category::live_activation) return;
  memory::Tag tag = memory::current_tag();  // the op that saves it, of its module, is why it stays
  tag.category = Category::saved_activation;
  device_.allocator().retag(block_, tag);
  was_live_activation_ = true;
}

void Storage::release_from_backward() noexcept {
  // Only worth telling when someone else goes on holding it; the last holder's release is a free.
  if (--holds_ == 0 && was_live_activation_ && references_.load(std::memory_order_acquire) > 1) {
    set_category(Category::live_activation);
  }
}

}  // namespace mnemo
