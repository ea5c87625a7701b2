#include <mnemo/autograd/autocast.h>

#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families/layout.h>

namespace mnemo {

namespace {

/// The half copy of a leaf, and of which contents it is one.
struct Copy {
  NodeRef leaf;  // alive, so that its address means no other one
  const Storage* storage;
  std::uint32_t version;
  Tensor half;
};

struct Thread {
  AutocastState state;
  int depth = 0;
  std::unordered_map<const Node*, Copy> copies;
};

Thread& thread() {
  thread_local Thread instance;
  return instance;
}

/// The cast of a parameter that several ops share. It needs nothing of forward, so that it serves a second backward.
class CastNode final : public Node {
 public:
  explicit CastNode(DType before) : before_(before) {}
  bool is_leaf() const override { return false; }
  void run(Backward& backward) override {
    // Row-major, as a parameter's gradient is.
    backward.give(0, in_layout(backward.grad(), ConvLayout::contiguous, before_));
  }

 private:
  DType before_;
};

/// The leaf in a half type, of the leaf's own module; a parameter's copy is counted with the parameters.
Tensor half_copy(const Tensor& x, DType dtype, ConvLayout layout) {
  const memory::Block* block = x.array().storage()->block();
  const bool named = block != nullptr && *block->tag.module != '\0';
  const memory::ModuleScope module(named ? block->tag.module : memory::current_tag().module);
  const memory::OpScope op("autocast");
  const RegionScope no_region(nullptr);  // whether there is a copy already depends on what ran before the region
  const memory::Category own = x.array().storage()->category();
  const memory::CategoryScope category(own == memory::Category::parameter ? own : memory::Category::live_activation);
  Array half = in_layout(x.array(), layout, dtype);
  if (!grad_enabled()) return Tensor(std::move(half));
  return attach(std::make_shared<CastNode>(x.dtype()), recorded_inputs({&x}), std::move(half));
}

/// The kept copy, unless the parameter has changed since, or it was made where nothing is recorded and now it must be.
Tensor kept_copy(const Tensor& x, DType dtype, ConvLayout layout) {
  Thread& now = thread();
  const Storage* storage = &*x.array().storage();
  const auto found = now.copies.find(x.node().get());
  if (found != now.copies.end()) {
    const Copy& copy = found->second;
    const bool current = copy.storage == storage && copy.version == storage->version() && copy.half.dtype() == dtype;
    if (current && (copy.half.requires_grad() || !grad_enabled())) return copy.half;
    now.copies.erase(found);
  }
  Tensor half = half_copy(x, dtype, layout);
  now.copies.insert({x.node().get(), {x.node(), storage, storage->version(), half}});
  return half;
}

bool is_cast(const Tensor& x, DType to) {
  return x.defined() && is_floating(x.dtype()) && x.dtype() != DType::float64 && x.dtype() != to;
}

// The table. What is not in it takes its operands as they come.
constexpr std::string_view kHalf[] = {"conv1d",           "conv2d",
                                      "conv3d",           "conv1d_relu",
                                      "conv2d_relu",      "conv3d_relu",
                                      "conv_transpose1d", "conv_transpose2d",
                                      "conv_transpose3d", "gru",
                                      "linear",           "lstm",
                                      "matmul",           "scaled_dot_product_attention"};
constexpr std::string_view kFloat32[] = {"binary_cross_entropy_with_logits",
                                         "cross_entropy",
                                         "cumsum",
                                         "exp",
                                         "huber_loss",
                                         "kl_div",
                                         "l1_loss",
                                         "log",
                                         "log_softmax",
                                         "log_sum_exp",
                                         "mse_loss",
                                         "nll_loss",
                                         "norm",
                                         "power",
                                         "reciprocal",
                                         "smooth_l1_loss",
                                         "softmax",
                                         "softplus",
                                         "sum",
                                         "variance"};

template <std::size_t N>
bool contains(const std::string_view (&list)[N], std::string_view name) {
  for (const std::string_view entry : list) {
    if (entry == name) return true;
  }
  return false;
}

}  // namespace

AutocastState current_autocast() { return thread().state; }

AutocastScope::AutocastScope(const AutocastState& state) : before_(thread().state) {
  if (state.enabled && !is_half(state.dtype)) {
    fail<DTypeError>("autocast", fmt::format("{} is no half type; take DType::bfloat16, or DType::float16 with "
                                             "a GradScaler",
                                             name(state.dtype)));
  }
  thread().state = state;
  ++thread().depth;
}

AutocastScope::~AutocastScope() {
  thread().state = before_;
  if (--thread().depth == 0) thread().copies.clear();
}

AutocastRule autocast_rule(const char* op) {
  if (contains(kHalf, op)) return AutocastRule::half;
  return contains(kFloat32, op) ? AutocastRule::float32 : AutocastRule::as_it_comes;
}

bool OperandCast::enabled() { return thread().state.enabled; }

void OperandCast::decide(AutocastRule rule, std::initializer_list<const Tensor*> operands) {
  if (rule == AutocastRule::as_it_comes) return;
  const DType dtype = rule == AutocastRule::half ? thread().state.dtype : DType::float32;
  for (const Tensor* operand : operands) {
    if (is_cast(*operand, dtype)) to_ = dtype;
  }
}

Tensor OperandCast::operator()(const Tensor& x) const { return cast(x, ConvLayout::contiguous); }

Tensor OperandCast::for_conv(const Tensor& x) const {
  if (!is_cast(x, *to_) || x.rank() < 3) return (*this)(x);
  return cast(x, x.device().backend().decisions().conv_layout(*to_, conv_policy()));
}

Tensor OperandCast::cast(const Tensor& x, ConvLayout layout) const {
  if (!is_cast(x, *to_)) return x;
  const bool kept =
      thread().state.cache && is_half(*to_) && x.dtype() == DType::float32 && x.is_leaf() && x.requires_grad();
  if (kept) return kept_copy(x, *to_, layout);
  if (layout == ConvLayout::contiguous) return to(x, *to_);
  const Operation operation("to");
  return record({&x}, in_layout(x.array(), layout, *to_),
                [before = x.dtype()](Backward& back) { back.give(0, back.grad().to(before)); });
}

void FreshCopies::forget() { thread().copies.clear(); }

}  // namespace mnemo
