#include <mnemo/core/device_memory.h>

#include <mnemo/core/card.h>
#include <mnemo/memory/summary.h>

namespace mnemo::memory {
namespace {

RecordingAbout about(const Device& device) { return {.device = device.name(), .context = context(device)}; }

}  // namespace

Bytes allocated(const Device& device) { return device.allocator().allocated(); }
Bytes max_allocated(const Device& device) { return device.allocator().peak().allocated; }
Bytes reserved(const Device& device) { return device.allocator().reserved(); }
Bytes max_reserved(const Device& device) { return stats(device).reserved_bytes.all.peak; }

std::optional<Bytes> context(const Device& device) {
  const std::string& name = device.name();
  if (const Card* card = card_of_device(name)) return card->context;
  if (name.starts_with("cuda")) return device.allocator().source().context_bytes();
  for (const char* cpu : {"cpu", "virtual:cpu"}) {
    if (name == cpu || name.starts_with(cpu + std::string(":"))) return 0;
  }
  return std::nullopt;
}

void reset_peak(const Device& device) { device.allocator().reset_peak(); }
void empty_cache(const Device& device) { device.allocator().empty_cache(); }

Statistics stats(const Device& device) { return device.allocator().statistics(); }
CategoryBytes categories(const Device& device) { return device.allocator().categories(); }
Peak peak(const Device& device) { return device.allocator().peak(); }
std::vector<SegmentView> snapshot(const Device& device) { return device.allocator().snapshot(); }
std::string summary(const Device& device) { return summary(device.allocator(), device.name()); }

Recorder record(const std::string& path, const Device& device) {
  return record(device.allocator(), path, about(device));
}
Recorder record(Ring ring, const Device& device) { return record(device.allocator(), ring, about(device)); }

}  // namespace mnemo::memory
