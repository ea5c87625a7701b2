#include <mnemo/autograd/stage_costs.h>

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/work.h>
#include <mnemo/memory/allocator.h>

namespace mnemo {

namespace {

using memory::Bytes;

/// What was allocated and computed since it was made.
class Meter {
 public:
  explicit Meter(memory::CachingAllocator& allocator)
      : allocator_(allocator), bytes_(allocator.allocated()), work_(operations_done()) {
    allocator_.reset_peak();
  }
  Bytes now() const { return allocator_.allocated() - bytes_; }
  Bytes most() const { return allocator_.peak().allocated - bytes_; }
  void restart() const { allocator_.reset_peak(); }
  std::int64_t work() const { return operations_done() - work_; }

 private:
  memory::CachingAllocator& allocator_;
  Bytes bytes_;
  std::int64_t work_;
};

Bytes block_size(const Array& x) {
  const memory::Block* block = x.storage()->block();
  return block ? block->size : 0;
}

/// All that matters of a tensor where there are no values.
struct Kind {
  Shape shape;
  DType dtype;
  bool requires_grad;
};
Kind kind_of(const Tensor& x) { return {x.shape(), x.dtype(), x.requires_grad()}; }

std::vector<Tensor> leaves(std::span<const Kind> kinds, const Device& device) {
  std::vector<Tensor> list;
  for (const Kind& kind : kinds) list.emplace_back(Array(kind.shape, kind.dtype, device), kind.requires_grad);
  return list;
}

bool differentiable(const std::vector<Tensor>& outputs) {
  return std::any_of(outputs.begin(), outputs.end(), [](const Tensor& y) { return y.requires_grad(); });
}

/// A scalar that depends on all outputs and gives each a gradient.
Tensor joined(const std::vector<Tensor>& outputs) {
  const Operation operation("joined");
  NodeList nodes;
  std::vector<Kind> kinds;
  for (const Tensor& output : outputs) nodes.push_back(output.edge()), kinds.push_back(kind_of(output));
  Array scalar(Shape{}, outputs.front().dtype(), outputs.front().device());
  auto closure = [kinds, device = scalar.device()](Backward& back) {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if (back.needs(i)) back.give(i, Array(kinds[i].shape, kinds[i].dtype, device));
    }
  };
  return attach(std::make_shared<OpNode<decltype(closure)>>(std::move(closure)), std::move(nodes), std::move(scalar));
}

/// The leaves of a graph without their gradients, which they get back at the end of the scope.
class BareLeaves {
 public:
  explicit BareLeaves(const NodeRef& root) {
    std::unordered_set<const Node*> seen;
    std::vector<NodeRef> open{root};
    while (!open.empty()) {
      const NodeRef node = std::move(open.back());
      open.pop_back();
      if (node == nullptr || !seen.insert(node.get()).second) continue;
      open.insert(open.end(), node->inputs.begin(), node->inputs.end());
      if (node->is_leaf()) leaves_.emplace_back(node, std::exchange(node->grad, {}));
    }
  }
  ~BareLeaves() {
    for (auto& [leaf, grad] : leaves_) leaf->grad = std::move(grad);
  }
  BareLeaves(const BareLeaves&) = delete;
  BareLeaves& operator=(const BareLeaves&) = delete;

  /// Of all but these.
  Bytes gradients(std::span<const Tensor> but) const {
    Bytes sum = 0;
    for (const auto& entry : leaves_) {
      const NodeRef& leaf = entry.first;
      const bool counts = std::none_of(but.begin(), but.end(), [&](const Tensor& x) { return x.node() == leaf; });
      if (counts && leaf->grad.defined()) sum += block_size(leaf->grad);
    }
    return sum;
  }

 private:
  std::vector<std::pair<NodeRef, Array>> leaves_;
};

/// Runs the stage with everything kept, and its backward. `results`: what it gives.
void measure_recorded(const Stage& stage, const std::vector<Tensor>& inputs, StageCosts& costs,
                      std::vector<Kind>& results) {
  const Meter whole(inputs.front().device().allocator());
  std::vector<Tensor> outputs = stage.run(inputs);
  costs.recording = whole.most();
  costs.forward_work = whole.work();
  costs.saved = whole.now();
  std::unordered_set<const Storage*> known;
  for (const Tensor& input : inputs) known.insert(&*input.array().storage());
  for (const Tensor& output : outputs) {
    results.push_back(kind_of(output));
    costs.outputs.push_back({block_size(output.array())});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].array().storage() == output.array().storage()) costs.outputs.back().taken = i;
    }
    if (known.insert(&*output.array().storage()).second) costs.saved -= costs.outputs.back().bytes;
  }
  if (!differentiable(outputs)) return;
  const Tensor root = joined(outputs);
  outputs.clear();
  const BareLeaves leaves(root.node());
  whole.restart();
  root.backward();
  costs.backward = whole.most();
  costs.backward_work = whole.work() - costs.forward_work;
  costs.gradients = leaves.gradients(inputs);
}

/// Runs the stage as a checkpoint, and its backward.
void measure_checkpointed(const Stage& stage, const std::vector<Tensor>& inputs, StageCosts& costs) {
  const Meter whole(inputs.front().device().allocator());
  std::vector<Tensor> outputs = checkpoint({}, stage.run, std::span<const Tensor>(inputs));
  costs.forward = whole.most();
  if (!differentiable(outputs)) return;
  const Tensor root = joined(outputs);
  outputs.clear();
  const BareLeaves leaves(root.node());
  root.backward();
  costs.recompute_work = whole.work() - costs.forward_work - costs.backward_work;
}

}  // namespace

std::vector<StageCosts> measure_stages(std::span<const Stage> stages, const Tensor& x) {
  if (!x.device().is_virtual()) {
    fail<DeviceError>("measure_stages",
                      fmt::format("the input lies on {}; a virtual device is needed", x.device().name()));
  }
  const RandomState before = random_state();
  const GradModeScope recording(true);
  std::vector<StageCosts> list;
  std::vector<Kind> stack{kind_of(x)};
  for (const Stage& stage : stages) {
    if (stage.takes > stack.size()) {
      fail<Error>("measure_stages",
                  fmt::format("stage {} takes {} tensors where there are {}", stage.name, stage.takes, stack.size()));
    }
    const auto top = stack.end() - static_cast<std::ptrdiff_t>(stage.takes);
    const std::vector<Kind> taken(top, stack.end());
    stack.erase(top, stack.end());
    StageCosts costs{.takes = stage.takes, .outputs = {}};
    measure_recorded(stage, leaves(taken, x.device()), costs, stack);
    measure_checkpointed(stage, leaves(taken, x.device()), costs);
    list.push_back(std::move(costs));
  }
  set_random_state(before);
  return list;
}

}  // namespace mnemo
