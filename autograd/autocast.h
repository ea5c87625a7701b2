// Autocast: while a scope lives, operations choose the dtype they compute in: products and convolutions a half type,
// what needs range float32. It owns the half copies of parameters, until the outermost scope ends.
//
//   const AutocastScope half(DType::bfloat16);
//   const Tensor loss = cross_entropy(net(x), targets);  // the network in bfloat16, the loss in float32
#pragma once

#include <initializer_list>
#include <optional>

#include <mnemo/autograd/tensor.h>

namespace mnemo {

/// What autocast does on a thread. A copy is enough to come back to it later, as a recomputed segment must.
struct AutocastState {
  bool enabled = false;
  DType dtype = DType::float16;  ///< of products and convolutions: float16 or bfloat16
  /// The half copy of a float32 leaf that requires a gradient is kept for its next use. It stays, beside the parameter
  /// itself, until the outermost scope ends: with few activations that costs more than it saves.
  bool cache = true;

  bool operator==(const AutocastState&) const = default;
};

/// Of this thread; not enabled at first.
AutocastState current_autocast();

/// Sets it until the end of the scope. Scopes nest; what the outermost one began ends with it.
class AutocastScope {
 public:
  explicit AutocastScope(DType dtype) : AutocastScope(AutocastState{.enabled = true, .dtype = dtype}) {}
  /// Throws DTypeError when enabled with a dtype that is no half type.
  explicit AutocastScope(const AutocastState& state);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  AutocastState before_;
};

/// Operations in the scope take their operands as they come.
class NoAutocastScope : public AutocastScope {
 public:
  NoAutocastScope() : AutocastScope(AutocastState{}) {}
};

/// Calls `f` under autocast and returns what it returns.
template <class F>
decltype(auto) autocast(DType dtype, F&& f) {
  const AutocastScope scope(dtype);
  return f();
}

/// What an operation wants its floating-point operands to be. float64 is never cast. Arithmetic and concat have no rule
/// of their own: they promote to the widest operand, as they always do. batch_norm takes a half input with float32
/// parameters and takes its statistics in float32.
enum class AutocastRule : std::uint8_t { half, float32, as_it_comes };
/// The rule for the op of that name, from the one table.
AutocastRule autocast_rule(const char* op);

/// How an operation asks, in its first line:
///   if (const OperandCast cast("linear", {&x, &weight, &bias}); cast)
///     return linear(cast(x), cast(weight), cast(bias));
/// False where nothing is to be cast. A cast is recorded, so that gradients arrive in the operand's own dtype.
class OperandCast {
 public:
  OperandCast(const char* op, std::initializer_list<const Tensor*> operands) {
    if (enabled()) decide(autocast_rule(op), operands);
  }
  /// For an op that is in no table.
  OperandCast(AutocastRule rule, std::initializer_list<const Tensor*> operands) {
    if (enabled()) decide(rule, operands);
  }

  explicit operator bool() const { return to_.has_value(); }
  /// The operand, cast where the rule says so; undefined stays undefined. REQUIRES: this is true.
  Tensor operator()(const Tensor& x) const;
  /// The same for an operand of a convolution: what is cast has the layout in which its device convolves, so that
  /// neither pass copies it again.
  Tensor for_conv(const Tensor& x) const;

 private:
  static bool enabled();
  bool keeps(const Tensor& x) const;  ///< as the half copy of a leaf
  void decide(AutocastRule rule, std::initializer_list<const Tensor*> operands);

  std::optional<DType> to_;
};

/// Until the end of the scope half copies of parameters are made anew, and forgotten then: for work that is recorded.
class FreshCopies {
 public:
  FreshCopies() { forget(); }
  ~FreshCopies() { forget(); }
  FreshCopies(const FreshCopies&) = delete;
  FreshCopies& operator=(const FreshCopies&) = delete;

 private:
  static void forget();
};

}  // namespace mnemo
