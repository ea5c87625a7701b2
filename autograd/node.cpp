#include <mnemo/autograd/node.h>

#include <atomic>

#include <mnemo/core/error.h>

namespace mnemo {

namespace {

std::atomic<std::uint64_t> next_sequence{0};

}  // namespace

Node::Node() : sequence(next_sequence.fetch_add(1, std::memory_order_relaxed)) {}

Node::~Node() {
  // A long chain would destroy itself recursively, one stack frame per op; a list does it level by level.
  thread_local std::vector<NodeRef>* pending = nullptr;
  if (pending != nullptr) {
    for (NodeRef& input : inputs) pending->push_back(std::move(input));
    return;
  }
  std::vector<NodeRef> list = std::move(inputs);
  pending = &list;
  while (!list.empty()) {
    NodeRef last = std::move(list.back());
    list.pop_back();
    last.reset();
  }
  pending = nullptr;
}

void fail_freed(const char* op) {
  fail<GradError>(op,
                  "backward was already run through this operation and what it had saved is freed; "
                  "call backward(retain_graph = true) the first time, or run forward again");
}

}  // namespace mnemo
