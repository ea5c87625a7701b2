#include <mnemo/autograd/engine.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include <mnemo/autograd/transaction.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

namespace {

/// One run over a graph, which its root keeps alive. Nodes carry a slot number while it lasts; an inner run (a hook, a
/// recomputed segment) puts its own numbers over them and restores the outer ones.
class Run {
 public:
  Run(Node& root, bool retain_graph) : retain_graph_(retain_graph) {
    tasks_.swap(spare());
    collect(root);
  }
  ~Run() {
    for (Task& task : tasks_) task.node->slot = task.outer_slot;
    if (!finished_) {
      for (Node* leaf : first_gradients_) leaf->grad = {};
    }
    if (tasks_.capacity() > kMostSpare || tasks_.capacity() < spare().capacity()) return;
    tasks_.clear();
    tasks_.swap(spare());
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void start(Node& root, Array gradient) {
    receive(root, std::move(gradient));
    settle(root);
    while (!ready_.empty()) {
      std::pop_heap(ready_.begin(), ready_.end());
      const std::int64_t slot = ready_.back().slot;
      ready_.pop_back();
      run(slot);
    }
    finished_ = true;
  }

 private:
  struct Task {
    Node* node = nullptr;
    std::int64_t outer_slot = -1;
    std::int64_t waiting = 1;  ///< contributions still to come
    Array grad;
  };
  struct Ready {
    std::uint64_t sequence;
    std::int64_t slot;
    bool operator<(const Ready& other) const { return sequence < other.sequence; }
  };

  static std::uint64_t next_number() {
    static std::atomic<std::uint64_t> runs{0};
    return ++runs;
  }

  /// Room for tasks, empty, from an earlier run of this thread: a large list is given back to the system when it is
  /// freed, and every page of the next one is cleared again.
  static std::vector<Task>& spare() {
    thread_local std::vector<Task> tasks;
    return tasks;
  }
  static constexpr std::size_t kMostSpare = 1 << 14;

  Task& task(const Node& node) { return tasks_[static_cast<std::size_t>(node.slot)]; }

  void collect(Node& root) {
    std::vector<Node*> stack;
    const auto visit = [&](Node& node) {
      const bool known =
          node.slot >= 0 && node.slot < static_cast<std::int64_t>(tasks_.size()) && task(node).node == &node;
      if (known) {
        ++task(node).waiting;
        return;
      }
      Task& entry = tasks_.emplace_back();
      entry.node = &node;
      entry.outer_slot = std::exchange(node.slot, static_cast<std::int64_t>(tasks_.size()) - 1);
      stack.push_back(&node);
    };
    visit(root);
    while (!stack.empty()) {
      Node* node = stack.back();
      stack.pop_back();
      for (const NodeRef& input : node->inputs) {
        if (input) visit(*input);
      }
    }
  }

  void receive(Node& node, Array&& given) {
    Array& sum = task(node).grad;
    if (!sum.defined()) {
      sum = std::move(given);
      return;
    }
    const Array gradient = std::move(given);  // and gone at the end
    if (sum.storage().is_unique() && sum.layout().is_dense()) {
      map_into(BinaryOp::add, sum, gradient, sum);
    } else {
      sum = map(BinaryOp::add, sum, gradient);
    }
  }

  /// What the slice does not cover is left as it is, or 0.
  void receive(Node& node, SliceGradient&& given) {
    Array& sum = task(node).grad;
    const Array gradient = std::move(given.gradient);
    if (!sum.defined()) {
      sum = full(given.slice.whole, 0, gradient.dtype(), gradient.device());
      return copy_into(gradient, given.slice.of(sum));
    }
    if (!sum.storage().is_unique() || !sum.layout().is_dense()) {
      const Array own = Array::like(sum);
      copy_into(sum, own);
      sum = own;
    }
    const Array target = given.slice.of(sum);
    map_into(BinaryOp::add, target, gradient, target);
  }

  /// One contribution less to wait for. Where every path gave nothing (an op that does not differentiate), the node's
  /// own inputs get nothing either: a list, because such a chain may be longer than the stack is deep.
  void settle(Node& node) {
    std::vector<Node*> settled;
    arrive(node, settled);
    while (!settled.empty()) {
      const Node* without = settled.back();
      settled.pop_back();
      for (const NodeRef& input : without->inputs) {
        if (input) arrive(*input, settled);
      }
    }
  }

  /// A complete gradient goes to its leaf at once, or its op becomes ready; a node that gets none is put into
  /// `without`.
  void arrive(Node& node, std::vector<Node*>& without) {
    Task& entry = task(node);
    if (--entry.waiting > 0) return;
    if (!entry.grad.defined()) {
      without.push_back(&node);
      return;
    }
    if (!node.is_leaf()) {
      ready_.push_back({node.sequence, node.slot});
      std::push_heap(ready_.begin(), ready_.end());
      return;
    }
    if (node.frozen) {  // since it took part
      entry.grad = {};
      return;
    }
    if (!node.hooks.empty()) entry.grad = hooked(node, std::move(entry.grad));
    keep(node, std::move(entry.grad));
    if (node.consumer) node.consumer();
  }

  void run(std::int64_t slot) {
    Task& entry = tasks_[static_cast<std::size_t>(slot)];
    Node& node = *entry.node;
    const memory::OpScope op(node.op);
    const memory::ModuleScope module(node.module);
    if (!node.hooks.empty()) entry.grad = hooked(node, std::move(entry.grad));
    if (node.keeps_grad) keep(node, entry.grad);
    if (given_.size() < node.inputs.size()) given_.resize(node.inputs.size());
    Backward backward(std::move(entry.grad), node.inputs, given_, slices_, !retain_graph_, number_);
    try {
      node.run(backward);
    } catch (...) {
      // What the closure had may be gone in part: another run is refused rather than wrong.
      if (!retain_graph_) node.release();
      throw;
    }
    if (!retain_graph_) node.release();
    (void)backward.take_grad();  // freed before its successors are added up
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const NodeRef& input = node.inputs[i];
      if (!input) {
        given_[i] = {};  // nobody wants it
        continue;
      }
      if (given_[i].defined()) receive(*input, std::move(given_[i]));
      for (SliceGradient& slice : slices_) {
        if (slice.input == i) receive(*input, std::move(slice));
      }
      settle(*input);
    }
    slices_.clear();
  }

  static Array hooked(Node& node, Array gradient) {
    auto hook = node.hooks.begin();
    for (std::size_t left = node.hooks.size(); left > 0; --left, ++hook) {  // those that a hook adds are for later
      const Array result = (*hook)(gradient);
      if (!result.defined()) continue;
      if (!(result.shape() == gradient.shape())) {
        fail<ShapeError>(
            "hook", fmt::format("the hook made gradient {} from {}", result.shape().text(), gradient.shape().text()));
      }
      if (!(result.device() == gradient.device()) || !is_floating(result.dtype())) {
        fail<GradError>("hook", fmt::format("the hook made a gradient {} on {} from one {} on {}", name(result.dtype()),
                                            result.device().name(), name(gradient.dtype()), gradient.device().name()));
      }
      gradient = result.to(gradient.dtype());
    }
    return gradient;
  }

  /// Adds to the node's own gradient; the first one is taken over without a copy where nobody else holds it.
  void keep(Node& node, Array gradient) {
    if (node.grad.defined()) {
      // A gradient that the user set may be a view with repeated elements; one that a transaction holds must stay.
      if (node.grad.layout().is_dense() && !Transaction::holds(node.grad))
        map_into(BinaryOp::add, node.grad, gradient, node.grad);
      else
        node.grad = map(BinaryOp::add, node.grad, gradient);
      return;
    }
    const bool owned =
        gradient.storage().is_unique() && gradient.is_contiguous() && gradient.bytes() == gradient.storage()->bytes();
    if (!owned) {
      const Array copy(gradient.shape(), gradient.dtype(), gradient.device());
      copy_into(gradient, copy);
      gradient = copy;
    }
    if (node.is_leaf()) gradient.storage()->set_category(memory::Category::gradient);
    node.grad = std::move(gradient);
    first_gradients_.push_back(&node);
  }

  bool retain_graph_;
  std::uint64_t number_ = next_number();
  bool finished_ = false;
  std::vector<Task> tasks_;
  std::vector<Ready> ready_;
  std::vector<Array> given_;            ///< what the op that runs gives to its inputs: one list for all of them
  std::vector<SliceGradient> slices_;   ///< and to slices of them
  std::vector<Node*> first_gradients_;  ///< had no gradient before this run
};

}  // namespace

void run_backward(const Tensor& root, Array gradient, bool retain_graph) {
  root.check_current("backward");
  const GradModeScope no_recording(false);
  const memory::PhaseScope phase(memory::Phase::backward);
  const memory::CategoryScope category(memory::Category::temporary);
  const memory::OpScope op("backward");
  const NodeRef node = root.node();  // the tensor may get another one meanwhile
  if (!gradient.defined()) gradient = full(root.shape(), 1, root.dtype(), root.device());
  if (gradient.dtype() != root.dtype()) gradient = gradient.to(root.dtype());
  Run run(*node, retain_graph);
  run.start(*node, std::move(gradient));
}

}  // namespace mnemo
