// Times the plans of a device that is there.
#pragma once

#include <optional>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/engine_plan.h>

namespace mnemo {

class PlanClock {
 public:
  virtual ~PlanClock() = default;

  /// Seconds of one run after some that do not count, on operands of its own, which are freed before it returns.
  /// Nothing where the plan does not run, or there is no memory for it.
  virtual std::optional<double> seconds(const ConvQuery& query, const EnginePlan& plan) = 0;
};

}  // namespace mnemo
