// What a device's allocator has handed out of its segments, as its events say: kernels may touch nothing else.
#include <map>
#include <memory>
#include <vector>

#include <mnemo/core/backend.h>
#include <mnemo/core/device.h>

#include "segments.h"

namespace {

using mnemo::memory::Event;
using mnemo::memory::EventKind;

/// Where in the host's memory lies what the allocator knows by its position.
class Watch {
 public:
  void operator()(const Event& event) {
    const auto bytes = static_cast<std::size_t>(event.size);
    switch (event.kind) {
      case EventKind::segment_alloc:
        segments_[event.position] = emulator::latest_end() - bytes;  // one, or several that were mapped one by one
        if (bytes < kLarge) emulator::hand_out_in_blocks(emulator::latest_end() - bytes, emulator::latest_end());
        break;
      case EventKind::segment_free:
        segments_.erase(event.position);
        break;
      case EventKind::alloc:
        emulator::hand_out(address(event.position), static_cast<std::size_t>(event.requested), true);
        break;
      case EventKind::free_completed:
        emulator::hand_out(address(event.position), bytes, false);
        break;
      default:
        break;
    }
  }

 private:
  static constexpr std::size_t kLarge = std::size_t{1} << 30;  ///< a segment that has one block

  std::uintptr_t address(std::uint64_t position) const {
    const auto next = segments_.upper_bound(position);
    if (next == segments_.begin()) return 0;
    const auto& [first, at] = *std::prev(next);
    return at + (position - first);
  }

  std::map<std::uint64_t, std::uintptr_t> segments_;
};

}  // namespace

void watch_blocks(const mnemo::Device& device) {
  // As long as the process: they outlive the devices that they listen to.
  static auto* subscriptions = new std::vector<std::shared_ptr<void>>;
  const auto watch = std::make_shared<Watch>();
  subscriptions->push_back(device.backend().allocator().subscribe([watch](const Event& event) { (*watch)(event); }));
}
