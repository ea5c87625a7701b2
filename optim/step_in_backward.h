// StepInBackward: an optimizer that updates each parameter as soon as its gradient is complete, and frees the gradient
// at once. Of all gradients only the latest is ever there.
#pragma once

#include <mnemo/optim/optimizer.h>

namespace mnemo::optim {

/// While it lives, loss.backward() is also the step: bit for bit what step() would have done after it. Begin each step
/// with zero_grad(). The optimizer must outlive it.
///
/// What needs all gradients at once is refused with a GradError, before anything is changed: clip_grad_norm, a
/// GradScaler (it may have to skip the step), and the accumulation of gradients (a second gradient for a parameter
/// before zero_grad()). An exception during backward leaves the parameters updated that backward had come to.
class StepInBackward {
 public:
  /// GradError when a parameter has a gradient already, or another StepInBackward has it.
  explicit StepInBackward(Optimizer& optimizer);
  ~StepInBackward();
  StepInBackward(const StepInBackward&) = delete;
  StepInBackward& operator=(const StepInBackward&) = delete;

 private:
  void update(std::size_t parameter);

  Optimizer& optimizer_;
};

[[nodiscard]] inline StepInBackward step_in_backward(Optimizer& optimizer) { return StepInBackward(optimizer); }

/// Refuses, in the name of `op`, a gradient that backward does not leave behind.
void check_kept_gradient(const char* op, const Tensor& parameter);
/// The same for all leaves that `loss` depends on.
void check_kept_gradients(const char* op, const Tensor& loss);

}  // namespace mnemo::optim
