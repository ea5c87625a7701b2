// Node: what autograd remembers of a tensor. It holds the gradient and the edges, never the value: memory stays
// alive only through what a gradient closure captured.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <mnemo/autograd/node_list.h>
#include <mnemo/core/array.h>

namespace mnemo {

/// A slice of an array of shape `whole`: elements `begin`, `begin + step`, ... before `end` of an axis.
struct Slice {
  Shape whole;
  int axis = 0;
  std::int64_t begin = 0, end = 0, step = 1;

  Array of(const Array& array) const { return array.slice(axis, begin, end, step); }
};

/// A gradient of a slice of input `input`.
struct SliceGradient {
  std::size_t input = 0;
  Array gradient;
  Slice slice;
};

/// What a gradient closure sees: the gradient of the op's output, and where the gradients of its inputs go.
class Backward {
 public:
  /// The gradients go into `given`, which has a place for each input, those of slices into `slices`.
  Backward(Array grad, const NodeList& inputs, std::vector<Array>& given, std::vector<SliceGradient>& slices,
           bool is_last, std::uint64_t run)
      : grad_(std::move(grad)), inputs_(inputs), given_(given), slices_(slices), is_last_(is_last), run_(run) {}

  const Array& grad() const { return grad_; }
  /// The same, handed over: an op that keeps no other reference may overwrite it.
  Array take_grad() { return std::move(grad_); }
  /// Whether input i takes part in differentiation; gradients of others are not worth computing.
  bool needs(std::size_t i) const { return inputs_[i] != nullptr; }
  /// Whether the closure is freed behind this run: it may let go of an array as soon as that has served.
  bool is_last() const { return is_last_; }
  /// The number of this backward: what one closure hands to another counts in the same one alone.
  std::uint64_t run() const { return run_; }
  void give(std::size_t i, Array gradient) { given_[i] = std::move(gradient); }
  /// The gradient of a slice of input i; that of the rest is 0. Those of one array are added up in one array.
  void give(std::size_t i, Array gradient, const Slice& slice) { slices_.push_back({i, std::move(gradient), slice}); }

 private:
  Array grad_;
  const NodeList& inputs_;
  std::vector<Array>& given_;
  std::vector<SliceGradient>& slices_;
  bool is_last_;
  std::uint64_t run_;
};

/// Called with a gradient before it goes on; a defined result replaces it (same shape).
using GradHook = std::function<Array(const Array&)>;

/// One differentiable tensor: a leaf (its gradient accumulates) or the output of an op (its closure runs in backward).
class Node {
 public:
  Node();
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  virtual bool is_leaf() const { return true; }
  /// Runs the gradient closure; throws GradError when it was already freed by an earlier backward.
  virtual void run(Backward&) {}
  /// Frees what the closure captured.
  virtual void release() noexcept {}

  const char* op = "leaf";
  const char* module = "";
  std::uint64_t sequence;     ///< order of recording: backward runs the latest first
  NodeList inputs;            ///< null where an input takes no part
  std::list<GradHook> hooks;  ///< a list: a hook may add others while it runs
  /// Takes a leaf's gradient as soon as one backward has completed it: updates the parameter, say, and frees it.
  std::function<void()> consumer;
  Array grad;               ///< of a leaf, or of a node whose gradient was asked for
  bool keeps_grad = false;  ///< a node that is no leaf keeps its gradient too
  bool frozen = false;      ///< a leaf that takes no part for now (Tensor::set_requires_grad)
  std::int64_t slot = -1;   ///< the engine's place for it while a backward runs

 private:
  NodeRef next_doomed_;  ///< to be destroyed after this one
};

[[noreturn]] void fail_freed(const char* op);

/// The node of an op: its closure is a callable `void(Backward&)`.
template <class Closure>
class OpNode final : public Node {
 public:
  template <class From>
  explicit OpNode(From&& closure) : closure_(std::forward<From>(closure)) {}
  bool is_leaf() const override { return false; }
  void run(Backward& backward) override {
    if (!closure_) fail_freed(op);
    (*closure_)(backward);
  }
  void release() noexcept override { closure_.reset(); }

 private:
  std::optional<Closure> closure_;
};

}  // namespace mnemo
