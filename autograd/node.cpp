#include <mnemo/autograd/node.h>

#include <atomic>

#include <mnemo/core/error.h>
#include <mnemo/memory/thread_lock.h>

namespace mnemo {

namespace {

std::atomic<std::uint64_t> next_sequence{0};

}  // namespace

Node::Node() : sequence(memory::count_up(next_sequence)) {}

Node::~Node() {
  // A long chain would destroy itself recursively, one stack frame per op: a list does it one by one. It is threaded
  // through the nodes, since nothing may be allocated here.
  thread_local NodeRef doomed;
  thread_local bool destroying = false;
  for (NodeRef& input : inputs) {
    if (input.use_count() != 1) continue;
    input->next_doomed_ = std::move(doomed);
    doomed = std::move(input);
  }
  if (destroying) return;
  destroying = true;
  while (doomed) {
    const NodeRef last = std::move(doomed);
    doomed = std::move(last->next_doomed_);
  }
  destroying = false;
}

void fail_freed(const char* op) {
  fail<GradError>(op,
                  "backward was already run through this operation and what it had saved is freed; "
                  "call backward(retain_graph = true) the first time, or run forward again");
}

}  // namespace mnemo
