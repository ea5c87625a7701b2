// The private pools in a snapshot (of CUDA graphs, or torch.cuda.MemPool): their blocks are for nobody else, and so
// each pair of a pool and a stream counts as a stream of its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <mnemo/memory/plain_data.h>
#include <mnemo/memory/source.h>

namespace mnemo::memory {

class SnapshotPools {
 public:
  using Pool = std::pair<std::int64_t, std::int64_t>;  ///< (0, 0) is everybody's

  /// What stands in the file; nothing unless it is two numbers.
  static std::optional<Pool> read(const PlainData& data, PlainId id);

  /// The stream that stands for `stream` in `pool`: itself in everybody's, else a negative number.
  StreamId stream(Pool pool, StreamId stream);
  /// The pool's memory is there at the end.
  void cover(std::uint64_t address, Bytes size, Pool pool) { ranges_[address] = {size, pool}; }
  /// Where a file does not say it: the pool whose memory is there at the end.
  Pool at(std::uint64_t address) const;

  /// Number of private pools.
  std::size_t size() const { return known_.size(); }

 private:
  std::map<std::pair<Pool, StreamId>, StreamId> streams_;
  std::map<std::uint64_t, std::pair<Bytes, Pool>> ranges_;
  std::set<Pool> known_;
};

}  // namespace mnemo::memory
