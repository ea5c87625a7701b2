// Recording an operation: how built-in ops and a user's own ones enter the graph.
//
//   Tensor square(const Tensor& x) {
//     const Operation operation("square");
//     Array y = map(BinaryOp::multiply, x.array(), x.array());
//     return record({&x}, std::move(y), [x = save_if(needs_grad(x), x.array())](Backward& back) {
//       back.give(0, map(BinaryOp::multiply, back.grad(), map(UnaryOp::affine, x.get(), {.a = 2})));
//     });
//   }
#pragma once

#include <initializer_list>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <mnemo/autograd/grad_mode.h>
#include <mnemo/autograd/saved.h>
#include <mnemo/autograd/tensor.h>
#include <mnemo/core/notes.h>

namespace mnemo {

/// Names the operation in ledger and errors while it lives. `name` has static lifetime (a literal, or memory::intern).
/// New memory is a live activation unless an outer scope says what it is.
class Operation {
 public:
  explicit Operation(const char* name)
      : op_(name),
        category_(memory::current_tag().category == memory::Category::other ? memory::Category::live_activation
                                                                            : memory::current_tag().category) {}

 private:
  memory::OpScope op_;
  memory::CategoryScope category_;
};

/// Whether an op on x records anything of it now.
inline bool needs_grad(const Tensor& x) { return grad_enabled() && x.requires_grad(); }

/// The nodes of the inputs (null where one takes no part), or nothing when no input takes part. Throws GradError
/// for a handle whose value another handle has changed in place.
NodeList recorded_inputs(std::initializer_list<const Tensor*> inputs);

/// Puts `node` into the graph behind `inputs`, under the current op and module.
inline Tensor attach(std::shared_ptr<Node> node, NodeList&& inputs, Array&& output) {
  const memory::Tag& tag = memory::current_tag();
  node->op = tag.op;
  node->module = tag.module;
  node->inputs = std::move(inputs);
  return Tensor(std::move(output), std::move(node));
}

/// The output as a tensor (computed in a statement of its own, before the closure saves anything); `closure(Backward&)`
/// gives the inputs' gradients when backward comes to it.
template <class Closure>
Tensor record(std::initializer_list<const Tensor*> inputs, Array output, Closure&& closure) {
  note_output(output);
  if (!grad_enabled()) return Tensor(std::move(output));
  NodeList nodes = recorded_inputs(inputs);
  if (nodes.empty()) return Tensor(std::move(output));
  auto node = std::make_shared<OpNode<std::remove_cvref_t<Closure>>>(std::forward<Closure>(closure));
  return attach(std::move(node), std::move(nodes), std::move(output));
}

}  // namespace mnemo
