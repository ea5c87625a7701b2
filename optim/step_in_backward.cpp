#include <mnemo/optim/step_in_backward.h>

#include <atomic>
#include <unordered_set>

#include <fmt/format.h>

#include <mnemo/core/error.h>

namespace mnemo::optim {

namespace {

std::atomic<int> alive{0};  // none: no graph need be searched

void fail_taken(const char* op, const char* what) {
  fail<GradError>(op, fmt::format("{} is updated during backward, which frees its gradient: what needs all gradients "
                                  "of a step cannot be used together with step_in_backward()",
                                  what));
}

}  // namespace

StepInBackward::StepInBackward(Optimizer& optimizer) : optimizer_(optimizer) {
  for (const Tensor& parameter : optimizer.parameters()) {
    if (parameter.node()->consumer) {
      fail<GradError>("step_in_backward",
                      fmt::format("parameter {} is updated during backward already", parameter.shape().text()));
    }
    if (parameter.grad().defined()) {
      fail<GradError>("step_in_backward", fmt::format("parameter {} has a gradient already, which would be added to "
                                                      "that of the next backward; call zero_grad() first",
                                                      parameter.shape().text()));
    }
  }
  for (std::size_t i = 0; i < optimizer.parameters().size(); ++i) {
    optimizer.states_[i].stepped = false;
    optimizer.parameters()[i].node()->consumer = [this, i] { update(i); };
  }
  optimizer.in_backward_ = true;
  ++alive;
}

StepInBackward::~StepInBackward() {
  for (const Tensor& parameter : optimizer_.parameters()) parameter.node()->consumer = nullptr;
  optimizer_.in_backward_ = false;
  --alive;
}

void StepInBackward::update(std::size_t parameter) {
  Optimizer::State& state = optimizer_.states_[parameter];
  const Tensor& tensor = optimizer_.parameters()[parameter];
  if (state.stepped) {
    fail<GradError>("step_in_backward",
                    fmt::format("parameter {} was updated by an earlier backward of this step: gradients cannot be "
                                "accumulated; call zero_grad() before the next step, or use step() instead",
                                tensor.shape().text()));
  }
  optimizer_.step(std::span(&parameter, 1), Scaling{});
  state.stepped = true;
  tensor.node()->grad = {};
}

void check_kept_gradient(const char* op, const Tensor& parameter) {
  if (parameter.node() && parameter.node()->consumer)
    fail_taken(op, fmt::format("parameter {}", parameter.shape().text()).c_str());
}

void check_kept_gradients(const char* op, const Tensor& loss) {
  if (alive == 0 || !loss.node()) return;
  std::unordered_set<const Node*> seen{loss.node().get()};
  std::vector<const Node*> stack{loss.node().get()};
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (node->consumer) fail_taken(op, "a parameter that the loss depends on");
    for (const NodeRef& input : node->inputs) {
      if (input && seen.insert(input.get()).second) stack.push_back(input.get());
    }
  }
}

}  // namespace mnemo::optim
