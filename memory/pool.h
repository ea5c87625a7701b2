// A pool: the free blocks of one size class (small or large) in the order of best fit, and the parts of
// expandable ranges that have no memory behind them.
#pragma once

#include <cstdint>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <mnemo/memory/block.h>

namespace mnemo::memory {

/// A block's place in a set. The numbers are copied, so that a search does not touch the blocks.
struct BlockKey {
  StreamId stream = 0;
  Bytes size = 0;  // 0 in the set of unmapped blocks, which is ordered by position alone
  std::uint64_t position = 0;
  Block* block = nullptr;

  bool operator<(const BlockKey& other) const {
    return std::tie(stream, size, position) < std::tie(other.stream, other.size, other.position);
  }
};

/// An ordered set of blocks for taking one and soon returning it: tree nodes are kept for reuse, so that this costs no
/// heap traffic, and the place of the last removal is tried first for the next insertion.
class BlockSet {
 public:
  using iterator = std::set<BlockKey>::iterator;

  BlockSet() = default;
  BlockSet(const BlockSet&) = delete;
  BlockSet& operator=(const BlockSet&) = delete;

  iterator begin() const { return blocks_.begin(); }
  iterator end() const { return blocks_.end(); }
  iterator lower_bound(const BlockKey& key) const { return blocks_.lower_bound(key); }

  void insert(const BlockKey& key) {
    if (nodes_.empty()) {
      blocks_.insert(near_, key);
      return;
    }
    nodes_.back().value() = key;
    blocks_.insert(near_, std::move(nodes_.back()));
    nodes_.pop_back();
  }
  void erase(iterator place) {
    near_ = std::next(place);
    nodes_.push_back(blocks_.extract(place));
  }
  void erase(const BlockKey& key) { erase(blocks_.find(key)); }

 private:
  std::set<BlockKey> blocks_;
  std::vector<std::set<BlockKey>::node_type> nodes_;
  iterator near_ = blocks_.end();  // only a removal could make it invalid, and that sets it anew
};

struct Pool {
  bool small = false;
  BlockSet free;              ///< by (stream, size, position): the first one that is large enough fits best
  BlockSet unmapped;          ///< by (stream, position)
  std::int64_t searches = 0;  ///< the clock by which garbage collection tells a block's age

  static BlockKey free_key(Block* block) { return {block->stream, block->size, block->position, block}; }
  static BlockKey unmapped_key(Block* block) { return {block->stream, 0, block->position, block}; }

  void insert(Block* block) {
    if (block->mapped) {
      block->free_since = searches;
      free.insert(free_key(block));
    } else {
      unmapped.insert(unmapped_key(block));
    }
  }
  void remove(Block* block) { block->mapped ? free.erase(free_key(block)) : unmapped.erase(unmapped_key(block)); }
};

}  // namespace mnemo::memory
