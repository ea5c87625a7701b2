// Addresses and bytes of the device.
#include "device.h"

#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <string_view>

namespace stand_in {
namespace {

constexpr std::uintptr_t kBegin = 0x500000000000, kEnd = 0x600000000000;
constexpr std::size_t kPage = 2 << 20;

struct Memory {
  std::recursive_mutex mutex;
  std::size_t used = 0, capacity = std::size_t{16} << 30;
  std::map<std::uintptr_t, std::size_t> ranges;
  bool descending = false;

  Memory() {
    if (const char* bytes = std::getenv("STAND_IN_CAPACITY")) capacity = std::strtoull(bytes, nullptr, 10);
    const char* order = std::getenv("STAND_IN_ORDER");
    descending = order != nullptr && std::string_view(order) == "descending";
  }
};

Memory& memory() {
  static auto* memory = new Memory;
  return *memory;
}

}  // namespace

std::size_t used_bytes() { return memory().used; }
std::size_t capacity() { return memory().capacity; }

bool take(std::int64_t bytes) {
  const std::lock_guard lock(memory().mutex);
  if (bytes > 0 && memory().used + static_cast<std::size_t>(bytes) > memory().capacity) return false;
  memory().used += static_cast<std::size_t>(bytes);
  return true;
}

std::uintptr_t reserve_addresses(std::size_t bytes) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  bytes = (bytes + kPage - 1) / kPage * kPage;
  std::uintptr_t found = 0;
  if (m.descending) {
    std::uintptr_t end = kEnd;
    for (auto range = m.ranges.rbegin(); range != m.ranges.rend(); ++range) {
      if (end - (range->first + range->second) >= bytes) break;
      end = range->first;
    }
    found = end - bytes;
  } else {
    found = kBegin;
    for (const auto& [address, size] : m.ranges) {
      if (address - found >= bytes) break;
      found = address + size;
    }
  }
  m.ranges[found] = bytes;
  return found;
}

void release_addresses(std::uintptr_t address) {
  const std::lock_guard lock(memory().mutex);
  memory().ranges.erase(address);
}

bool is_device(const void* address) {
  const auto a = reinterpret_cast<std::uintptr_t>(address);
  return a >= kBegin && a < kEnd;
}

}  // namespace stand_in
