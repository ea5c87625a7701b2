#include <mnemo/autograd/tensor.h>

#include <algorithm>

#include <fmt/format.h>

#include <mnemo/autograd/engine.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

thread_local bool recording = true;
thread_local bool again = false;

void check_fraction(const char* op, DType dtype) {
  if (!is_floating(dtype))
    fail<DTypeError>(op, fmt::format("{} has no fractions; use a floating-point dtype, or randint", name(dtype)));
}

}  // namespace

bool grad_enabled() { return recording; }
GradModeScope::GradModeScope(bool enabled) : before_(recording) { recording = enabled; }
GradModeScope::~GradModeScope() { recording = before_; }

bool recomputing() { return again; }
RecomputingScope::RecomputingScope() : before_(again) { again = true; }
RecomputingScope::~RecomputingScope() { again = before_; }

void Tensor::fail_undefined() {
  const char* op = memory::current_tag().op;
  fail<Error>(*op ? op : "tensor", "a tensor is undefined: it was default-constructed or moved from");
}

Tensor& Tensor::set_requires_grad(bool requires_grad) {
  if (requires_grad == this->requires_grad()) return *this;
  if (!is_leaf())
    fail<GradError>("requires_grad", "the result of an operation cannot be taken out of the graph; use detach()");
  if (requires_grad && !is_floating(dtype())) {
    fail<DTypeError>("requires_grad", fmt::format("{} {} cannot have a gradient; only floating-point tensors can",
                                                  name(dtype()), shape().text()));
  }
  if (!node_) node_ = std::make_shared<Node>();
  node_->frozen = !requires_grad;
  array_.storage()->set_holds_leaf(requires_grad);
  return *this;
}

Tensor Tensor::grad() const { return requires_grad() && node_->grad.defined() ? Tensor(node_->grad) : Tensor(); }

void Tensor::set_grad(const Tensor& grad) {
  if (!requires_grad()) fail<GradError>("set_grad", "this tensor does not require a gradient");
  if (grad.defined() && !(grad.shape() == shape())) {
    fail<ShapeError>("set_grad", fmt::format("gradient {} for a tensor {}", grad.shape().text(), shape().text()));
  }
  if (grad.defined() && grad.dtype() != dtype()) {
    fail<DTypeError>("set_grad", fmt::format("gradient {} has dtype {}, the tensor {}; cast it with to(x, DType::{})",
                                             grad.shape().text(), name(grad.dtype()), name(dtype()), name(dtype())));
  }
  if (grad.defined() && !(grad.device() == device())) {
    fail<DeviceError>("set_grad", fmt::format("gradient {} lies on {}, the tensor on {}; move it with to(x, device)",
                                              grad.shape().text(), grad.device().name(), device().name()));
  }
  node_->grad = grad.array();
}

void Tensor::retain_grad() {
  if (!requires_grad()) fail<GradError>("retain_grad", "this tensor does not require a gradient");
  node_->keeps_grad = true;
}

void Tensor::zero_grad(bool set_to_none) {
  if (!node_ || !node_->grad.defined()) return;
  if (set_to_none)
    node_->grad = {};
  else
    mnemo::fill(node_->grad, 0);
}

void Tensor::register_hook(GradHook hook) {
  if (!requires_grad()) fail<GradError>("register_hook", "this tensor does not require a gradient");
  node_->hooks.push_back(std::move(hook));
}

void Tensor::backward(bool retain_graph) const { backward(Tensor(), retain_graph); }

void Tensor::backward(const Tensor& gradient, bool retain_graph) const {
  if (!requires_grad()) {
    fail<GradError>("backward",
                    "this tensor does not depend on any tensor that requires a gradient; "
                    "was it computed under no_grad, or detached?");
  }
  if (!gradient.defined() && numel() != 1) {
    fail<GradError>(
        "backward",
        fmt::format("{} is not a single number; give the gradient to start from, or reduce it with sum() or mean()",
                    shape().text()));
  }
  if (gradient.defined() && !(gradient.device() == device())) {
    fail<DeviceError>("backward",
                      fmt::format("gradient {} lies on {}, the tensor {} on {}; move it with to(x, device)",
                                  gradient.shape().text(), gradient.device().name(), shape().text(), device().name()));
  }
  if (gradient.defined() && !(gradient.shape() == shape())) {
    fail<ShapeError>("backward", fmt::format("gradient {} for a tensor {}", gradient.shape().text(), shape().text()));
  }
  run_backward(*this, gradient.array(), retain_graph);
}

void Tensor::rebind(Array array, NodeRef node) {
  array_ = std::move(array);
  node_ = std::move(node);
  version_ = array_.storage()->version();
}

void Tensor::check_current(const char* op) const {
  if (is_leaf() || array_.storage()->version() == version_) return;
  fail<GradError>(op,
                  fmt::format("the value {} was changed in place through another handle after operation {} made it; "
                              "use the handle that the in-place operation was given",
                              shape().text(), node_->op));
}

NodeList recorded_inputs(std::initializer_list<const Tensor*> inputs) {
  NodeList nodes;
  bool any = false;
  Region* region = Region::current();
  for (const Tensor* input : inputs) {
    any = any || input->requires_grad();
    if (region != nullptr && input->node() != nullptr && input->node()->is_leaf()) region->note_leaf(input->node());
  }
  if (!any) return nodes;
  for (const Tensor* input : inputs) {
    if (input->requires_grad()) input->check_current(memory::current_tag().op);
    if (region != nullptr && input->defined()) region->note_part(input->array(), input->requires_grad());
    nodes.push_back(input->edge());
  }
  return nodes;
}

Tensor empty(const Shape& shape, const TensorOptions& options) {
  return Tensor(Array(shape, options.dtype, options.device), options.requires_grad);
}
Tensor full(const Shape& shape, double value, const TensorOptions& options) {
  const memory::OpScope op("full");
  return Tensor(full(shape, value, options.dtype, options.device), options.requires_grad);
}
Tensor full(const Shape& shape, double value, std::initializer_list<std::nullptr_t>) {
  return full(shape, value, TensorOptions());
}
Tensor arange(std::int64_t count, const Device& device) {
  const memory::OpScope op("arange");
  const Array x = full({count}, 0, DType::int64, device);
  // What is there already, once more behind itself and larger by its length: nothing comes from the host.
  for (std::int64_t done = 1; done < count; done *= 2) {
    const std::int64_t more = std::min(done, count - done);
    const Array by = full({}, static_cast<double>(done), DType::int64, device);
    map_into(BinaryOp::add, x.slice(0, 0, more), by, x.slice(0, done, done + more));
  }
  x.storage()->set_integers({0, count - 1});
  return Tensor(x);
}
Tensor zeros(const Shape& shape, const TensorOptions& options) { return full(shape, 0, options); }
Tensor ones(const Shape& shape, const TensorOptions& options) { return full(shape, 1, options); }
Tensor rand(const Shape& shape, const TensorOptions& options) {
  const memory::OpScope op("rand");
  check_fraction("rand", options.dtype);
  return Tensor(random({.kind = RandomCall::Kind::uniform}, shape, options.dtype, options.device),
                options.requires_grad);
}
Tensor randn(const Shape& shape, const TensorOptions& options) {
  const memory::OpScope op("randn");
  check_fraction("randn", options.dtype);
  return Tensor(random({.kind = RandomCall::Kind::normal}, shape, options.dtype, options.device),
                options.requires_grad);
}
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, TensorOptions options) {
  const memory::OpScope op("randint");
  if (low >= high) fail<ShapeError>("randint", fmt::format("no integers in [{}, {})", low, high));
  constexpr std::int64_t kExact = std::int64_t{1} << 53;  // in the double in which they are drawn
  if (low < -kExact || high > kExact) {
    fail<ShapeError>("randint", fmt::format("numbers in [{}, {}) are drawn in float64, which has all integers up to "
                                            "2^53 = {} alone; draw smaller ones and add to them",
                                            low, high, kExact));
  }
  const Array x =
      random({.kind = RandomCall::Kind::integer, .low = static_cast<double>(low), .high = static_cast<double>(high)},
             shape, options.dtype, options.device);
  if (x.dtype() == DType::int64) x.storage()->set_integers({low, high - 1});
  return Tensor(x, options.requires_grad);
}

}  // namespace mnemo
