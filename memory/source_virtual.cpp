#include <mnemo/memory/source.h>

#include <algorithm>
#include <limits>

namespace mnemo::memory {
namespace {

// Outside of what a process can map, so that using such an address faults instead of touching something else.
constexpr std::uintptr_t kFirstAddress = std::uintptr_t{1} << 48;
constexpr std::uintptr_t kLastAddress = std::uintptr_t{1} << 63;
constexpr Bytes kAlignment = 2 * MiB;

}  // namespace

VirtualSource::VirtualSource(Bytes capacity, Bytes context)
    : capacity_(capacity), context_(context), next_address_(kFirstAddress) {}

std::byte* VirtualSource::allocate(Bytes bytes) {
  if (bytes > free_bytes()) return nullptr;
  std::byte* segment = reserve_range(bytes);
  if (segment != nullptr) used_ += bytes;
  return segment;
}

void VirtualSource::free(std::byte*, Bytes bytes) noexcept { used_ -= bytes; }

std::byte* VirtualSource::reserve_range(Bytes bytes) {
  const auto size = static_cast<std::uintptr_t>(round_up(bytes, kAlignment));
  if (size > kLastAddress - next_address_) return nullptr;
  const std::uintptr_t address = next_address_;
  next_address_ += size;
  return reinterpret_cast<std::byte*>(address);
}

void VirtualSource::release_range(std::byte*, Bytes) noexcept {}

bool VirtualSource::map(std::byte*, Bytes bytes) {
  if (bytes > free_bytes()) return false;
  used_ += bytes;
  return true;
}

void VirtualSource::unmap(std::byte*, Bytes bytes) noexcept { used_ -= bytes; }

Bytes VirtualSource::capacity() const { return capacity_; }

Bytes VirtualSource::free_bytes() const {
  const Bytes total = capacity_ > 0 ? capacity_ : std::numeric_limits<Bytes>::max();
  return std::max<Bytes>(0, total - context_ - used_);
}

EventId VirtualSource::record(StreamId) { return ++recorded_; }

bool VirtualSource::is_done(EventId event) { return event <= completed_; }

void VirtualSource::wait(EventId event) { completed_ = std::max(completed_, event); }

}  // namespace mnemo::memory
