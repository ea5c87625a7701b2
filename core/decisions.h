// What a device decides before anything runs: algorithms and workspaces. Pure host code that needs no device,
// so that a virtual device takes the decisions of the one that it imitates.
#pragma once

#include <memory>

#include <mnemo/core/conv.h>

namespace mnemo {

class Decisions {
 public:
  virtual ~Decisions() = default;
  /// How to compute one pass of a convolution under a policy.
  virtual ConvPlan conv(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const = 0;
};

/// The decisions of mnemo's CPU backend. The number of threads has no influence.
std::shared_ptr<const Decisions> cpu_decisions();

}  // namespace mnemo
