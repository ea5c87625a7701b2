// A pool: the free blocks of one size class (small or large) in the order of best fit, and the parts of
// expandable ranges that have no memory behind them.
#pragma once

#include <cstdint>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include <mnemo/memory/block.h>

namespace mnemo::memory {

/// Tree nodes for the sets that blocks are in, at least one for every block there is: putting a block into a set takes
/// nothing from the heap, so it cannot fail.
class BlockNodes {
 public:
  using Node = std::set<BlockKey>::node_type;

  /// Makes them `count` in all, those in sets included.
  void provide(std::size_t count) {
    nodes_.reserve(count);
    for (; made_ < count; ++made_) {
      std::set<BlockKey> one{BlockKey{}};
      nodes_.push_back(one.extract(one.begin()));
    }
  }
  Node take() {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    return node;
  }
  void put(Node node) { nodes_.push_back(std::move(node)); }

 private:
  std::vector<Node> nodes_;
  std::size_t made_ = 0;
};

/// An ordered set of blocks for taking one and soon returning it: the place of the last removal is tried first for the
/// next insertion.
class BlockSet {
 public:
  using iterator = std::set<BlockKey>::iterator;

  explicit BlockSet(BlockNodes& nodes) : nodes_(nodes) {}
  BlockSet(const BlockSet&) = delete;
  BlockSet& operator=(const BlockSet&) = delete;

  iterator begin() const { return blocks_.begin(); }
  iterator end() const { return blocks_.end(); }
  iterator lower_bound(const BlockKey& key) const { return blocks_.lower_bound(key); }

  iterator insert(const BlockKey& key) {
    BlockNodes::Node node = nodes_.take();
    node.value() = key;
    return blocks_.insert(near_, std::move(node));
  }
  void erase(iterator place) {
    near_ = std::next(place);
    nodes_.put(blocks_.extract(place));
  }

 private:
  BlockNodes& nodes_;
  std::set<BlockKey> blocks_;
  iterator near_ = blocks_.end();  // only a removal could make it invalid, and that sets it anew
};

struct Pool {
  Pool(bool is_small, BlockNodes& nodes) : small(is_small), free(nodes), unmapped(nodes) {}

  bool small;
  BlockSet free;              ///< by (stream, size, position): the first one that is large enough fits best
  BlockSet unmapped;          ///< by (stream, position)
  std::int64_t searches = 0;  ///< the clock by which garbage collection tells a block's age

  void insert(Block* block) {
    if (block->mapped) {
      block->free_since = searches;
      block->place = free.insert({block->stream, block->size, block->position, block});
    } else {
      block->place = unmapped.insert({block->stream, 0, block->position, block});
    }
  }
  void remove(Block* block) { (block->mapped ? free : unmapped).erase(block->place); }
};

}  // namespace mnemo::memory
