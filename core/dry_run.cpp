#include <mnemo/core/dry_run.h>

#include <algorithm>

#include <mnemo/core/card.h>
#include <mnemo/core/random_stream.h>

namespace mnemo {

namespace {

/// The most bytes that there ever were, whenever the program has peaks counted anew: allocated, allocated but for
/// workspaces, and reserved.
class MostBytes {
 public:
  explicit MostBytes(memory::CachingAllocator& allocator)
      : subscription_(allocator.subscribe([this](const memory::Event& event) { take(event); })) {}

  memory::Bytes allocated() const { return allocated_; }
  memory::Bytes needed() const { return needed_; }
  memory::Bytes reserved() const { return reserved_; }

 private:
  void take(const memory::Event& event) {
    using enum memory::EventKind;
    const auto is_workspace = [](memory::Category category) { return category == memory::Category::workspace; };
    if (event.kind == alloc && is_workspace(event.tag.category)) workspaces_ += event.size;
    if (event.kind == free_requested && is_workspace(event.tag.category)) workspaces_ -= event.size;
    if (event.kind == retag) {
      workspaces_ +=
          (is_workspace(event.tag.category) ? event.size : 0) - (is_workspace(event.before) ? event.size : 0);
    }
    allocated_ = std::max(allocated_, event.allocated);
    needed_ = std::max(needed_, event.allocated - workspaces_);
    reserved_ = std::max(reserved_, event.reserved);
  }

  memory::Bytes workspaces_ = 0;
  memory::Bytes allocated_ = 0, needed_ = 0, reserved_ = 0;
  std::shared_ptr<void> subscription_;  // last: it ends before the rest goes
};

}  // namespace

DryRun dry_run(const std::string& name, const std::function<void()>& program, const memory::AllocatorConfig& config) {
  const Device device = Device::open(name, config);
  memory::CachingAllocator& allocator = device.allocator();
  const RandomStreamScope random(random_state());
  const DeviceScope on_device(device);
  const MostBytes most(allocator);
  DryRun run;
  try {
    program();
  } catch (const OutOfMemory& error) {
    if (error.details().device != device.name()) throw;
    run.failure = error;
  }
  run.peak_allocated = most.allocated();
  run.peak_reserved = most.reserved();
  run.needed = most.needed();
  return run;
}

std::string without_limit(const std::string& virtual_device) {
  constexpr const char* kRoom = "4503599627370496";  // 4 PiB
  if (virtual_device.starts_with("virtual:cpu")) return "virtual:cpu";
  if (card_of_device(virtual_device) == nullptr) return std::string("virtual:") + kRoom;
  return virtual_device + ',' + kRoom;
}

}  // namespace mnemo
