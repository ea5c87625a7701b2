#include <mnemo/memory/saved_bytes.h>

namespace mnemo::memory {

SavedBytes::SavedBytes(const Timeline& timeline, std::function<Key(const Tag&)> key) : key_(std::move(key)) {
  for (const auto& [position, block] : timeline.state().blocks()) {
    if (!block.waiting) add(position, block.size, block.tag);
  }
}

const SavedBytes::Totals::value_type* SavedBytes::add(std::uint64_t position, Bytes size, const Tag& tag) {
  if (tag.category != Category::saved_activation) return nullptr;
  const auto total = totals_.try_emplace(key_(tag)).first;
  total->second += size;
  parts_[position] = {&*total, size};
  return &*total;
}

void SavedBytes::remove(std::uint64_t position) {
  const auto part = parts_.find(position);
  if (part == parts_.end()) return;
  part->second.total->second -= part->second.bytes;
  parts_.erase(part);
}

const SavedBytes::Totals::value_type* SavedBytes::follow(const Event& event) {
  switch (event.kind) {
    case EventKind::alloc:
      return add(event.position, event.size, event.tag);
    case EventKind::retag:
      remove(event.position);
      return add(event.position, event.size, event.tag);
    case EventKind::free_requested:
      remove(event.position);
      return nullptr;
    default:
      return nullptr;
  }
}

}  // namespace mnemo::memory
