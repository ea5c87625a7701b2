#include <mnemo/memory/snapshot_pools.h>

#include <iterator>
#include <span>

namespace mnemo::memory {

std::optional<SnapshotPools::Pool> SnapshotPools::read(const PlainData& data, PlainId id) {
  if (data.kind(id) != PlainData::Kind::list) return std::nullopt;
  const std::span<const PlainId> items = data.items(id);
  if (items.size() != 2) return std::nullopt;
  for (const PlainId item : items) {
    if (data.kind(item) != PlainData::Kind::number) return std::nullopt;
  }
  return Pool{data.number(items[0]), data.number(items[1])};
}

StreamId SnapshotPools::stream(Pool pool, StreamId stream) {
  if (pool == Pool{}) return stream;
  known_.insert(pool);
  return streams_.try_emplace({pool, stream}, -1 - static_cast<StreamId>(streams_.size())).first->second;
}

SnapshotPools::Pool SnapshotPools::at(std::uint64_t address) const {
  auto range = ranges_.upper_bound(address);
  if (range == ranges_.begin()) return {};
  --range;
  return address - range->first < static_cast<std::uint64_t>(range->second.first) ? range->second.second : Pool{};
}

}  // namespace mnemo::memory
