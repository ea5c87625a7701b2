// NodeList: the nodes of an op's inputs. Hardly any op has more than three, so that many take no memory of their own.
#pragma once

#include <array>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace mnemo {

class Node;
using NodeRef = std::shared_ptr<Node>;

class NodeList {
 public:
  void push_back(NodeRef node) {
    if (size_ < few_.size()) {
      few_[size_++] = std::move(node);
      return;
    }
    if (many_.empty()) many_.assign(std::move_iterator(few_.begin()), std::move_iterator(few_.end()));
    many_.push_back(std::move(node));
    ++size_;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  NodeRef* begin() { return many_.empty() ? few_.data() : many_.data(); }
  NodeRef* end() { return begin() + size_; }
  const NodeRef* begin() const { return many_.empty() ? few_.data() : many_.data(); }
  const NodeRef* end() const { return begin() + size_; }
  const NodeRef& operator[](std::size_t i) const { return begin()[i]; }

 private:
  std::size_t size_ = 0;
  std::array<NodeRef, 3> few_;
  std::vector<NodeRef> many_;  ///< all of them, where they are more
};

}  // namespace mnemo
