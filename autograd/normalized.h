// Normalized: stands for the result of a batch normalization, which one pass gives again: from its input, the
// statistics that were taken and what was added.
#pragma once

#include <memory>

#include <mnemo/autograd/saved.h>
#include <mnemo/autograd/stand_in.h>
#include <mnemo/core/backend.h>

namespace mnemo {

/// The longest chain of computations from what is kept to what is stood for. A longer one takes less memory between
/// forward and backward and more in backward, where all of it is there at once; each result is computed once either
/// way. Of 2 to 8, ResNet-50 has its lowest peak with 5 (batch 256 in bfloat16: 2 6951 MiB, 4 6498, 5 6298, 8 6520).
inline constexpr int kMostDepth = 5;

class Normalized final : public StandIn {
 public:
  /// Makes one for the result of `call`, which has been done by the operation `op`, and has the result know of it. Null
  /// where the chain would become too long, and while a region runs for the first time: nothing of that is kept.
  static std::shared_ptr<Normalized> stand_for(const char* op, const NormalizeCall& call);

  Normalized(const char* op, const NormalizeCall& call);
  bool is_current() const override;
  int depth() const override;

 private:
  struct Inputs {
    Saved x, residual, weight, bias, mean, inverse_deviation;
  };
  StorageRef restore() override;

  const char* op_;
  NormalizeCall call_;  ///< without its arrays
  Inputs inputs_;
  bool has_residual_;
  StorageRef result_;  ///< of one with a residual, once it was asked for: the gradient needs it too
};

}  // namespace mnemo
