// Tensor: an Array and its place in the graph of recorded operations.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include <mnemo/autograd/grad_mode.h>
#include <mnemo/autograd/node.h>
#include <mnemo/core/array.h>

namespace mnemo {

/// Options of the functions that make tensors.
struct TensorOptions {
  DType dtype = DType::float32;
  Device device = {};
  bool requires_grad = false;
};

/// A value and its gradient's place. Copies are handles to the same value.
class Tensor {
 public:
  Tensor() = default;  ///< undefined
  explicit Tensor(const Array& array, bool requires_grad = false) : Tensor(Array(array), requires_grad) {}
  explicit Tensor(Array&& array, bool requires_grad = false) : array_(std::move(array)) {
    if (requires_grad) set_requires_grad(true);
  }
  Tensor(Array&& array, NodeRef node)
      : array_(std::move(array)), node_(std::move(node)), version_(array_.storage()->version()) {}

  bool defined() const { return array_.defined(); }
  const Array& array() const { return array_; }
  // What follows throws Error for an undefined tensor.
  const Shape& shape() const { return given().shape(); }
  int rank() const { return given().rank(); }
  /// Size along an axis; -1 is the last one.
  std::int64_t size(int axis) const { return given().size(normalize_axis(axis, rank(), "size")); }
  std::int64_t numel() const { return given().numel(); }
  DType dtype() const { return given().dtype(); }
  const Device& device() const { return given().device(); }

  bool requires_grad() const { return node_ != nullptr && !node_->frozen; }
  /// Makes a leaf record gradients or not, for every handle to it, so that a model is frozen by
  /// `for (Tensor& p : net.parameters()) p.set_requires_grad(false)`. Its gradient is not there while it is frozen. A
  /// tensor that never required one begins a leaf of its own, which earlier copies of the handle do not share. Throws
  /// GradError for the result of an op, DTypeError for integers.
  Tensor& set_requires_grad(bool requires_grad);
  bool is_leaf() const { return node_ == nullptr || node_->is_leaf(); }
  /// The accumulated gradient of a leaf (or after retain_grad); undefined before the first backward.
  Tensor grad() const;
  void set_grad(const Tensor& grad);
  /// The gradient of this result of an op will be kept as well.
  void retain_grad();
  /// Drops the gradient's memory, or fills it with zeros.
  void zero_grad(bool set_to_none = true);
  /// `hook` sees the gradient of this tensor when it is complete; a defined result replaces it.
  void register_hook(GradHook hook);

  /// Computes the gradients of every leaf that this scalar depends on. What ops saved is freed as they run,
  /// unless `retain_graph`.
  void backward(bool retain_graph = false) const;
  /// The same from a tensor of any shape, with the gradient to start from.
  void backward(const Tensor& gradient, bool retain_graph = false) const;

  /// The same value outside the graph.
  Tensor detach() const { return Tensor(array_); }
  /// The only element, as a number; NaN from a virtual device.
  double item() const { return given().item(); }
  template <class T>
  std::vector<T> values() const {
    return given().values<T>();
  }

  const NodeRef& node() const { return node_; }
  /// The node, for what an operation records of this input: null where it takes no part.
  NodeRef edge() const { return requires_grad() ? node_ : nullptr; }
  /// For operations that change the value in place: the handle now stands for another node.
  void rebind(Array array, NodeRef node);
  /// Throws GradError when the value was changed in place through another handle since this one was recorded.
  void check_current(const char* op) const;

 private:
  const Array& given() const {
    if (!array_.defined()) fail_undefined();
    return array_;
  }
  [[noreturn]] static void fail_undefined();

  Array array_;
  NodeRef node_;
  std::uint32_t version_ = 0;  ///< of the storage, when `node_` was recorded
};

// Making tensors.
Tensor empty(const Shape& shape, const TensorOptions& options = {});
Tensor zeros(const Shape& shape, const TensorOptions& options = {});
Tensor ones(const Shape& shape, const TensorOptions& options = {});
Tensor full(const Shape& shape, double value, const TensorOptions& options = {});
/// With `{}`, which core's full of an Array (core/families.h) would take for the first dtype: the default options.
Tensor full(const Shape& shape, double value, std::initializer_list<std::nullptr_t> none);
/// Uniform in [0, 1), standard normal, integers in [low, high): the next numbers of the program's stream.
Tensor rand(const Shape& shape, const TensorOptions& options = {});
Tensor randn(const Shape& shape, const TensorOptions& options = {});
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape,
               TensorOptions options = {.dtype = DType::int64});
/// 0, 1, ..., count - 1 as int64, made on the device. With it, positions are an embedding's indices, and the mask of
/// places within a length is `less(arange(n), unsqueeze(lengths, 1))`.
Tensor arange(std::int64_t count, const Device& device = {});
/// From values in row-major order, with the dtype of T.
template <class T>
Tensor tensor(const std::vector<T>& values, const Shape& shape, const Device& device = {}, bool requires_grad = false) {
  return Tensor(Array::from(values, shape, device), requires_grad);
}

}  // namespace mnemo
