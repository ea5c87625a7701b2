// Which of the ranked plans is taken: a pure function, the same for a real card and an imitated one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <mnemo/core/dtype.h>
#include <mnemo/cuda/engine_plan.h>

namespace mnemo::cuda {

struct PlanPolicy {
  enum class Kind : std::uint8_t {
    heuristic,        ///< the first that can be finalized
    workspace_limit,  ///< the first with at most `limit` bytes of workspace
    deterministic,    ///< the first that gives the same bits in every run
    engine,           ///< the first of the named engine
  };

  Kind kind = Kind::heuristic;
  memory::Bytes limit = 0;
  std::string engine;       ///< a whole name, "eng28_k2=1", or a number for any knobs, "eng28"
  bool allow_tf32 = false;  ///< float32 may be rounded to TF32 on tensor cores

  bool operator==(const PlanPolicy&) const = default;
};

/// Reads "heuristic", "workspace<=64MiB", "zero-workspace", "deterministic" or "eng28..."; throws ConfigError.
PlanPolicy parse_plan_policy(std::string_view text);
/// What `parse_plan_policy` reads.
std::string describe(const PlanPolicy& policy);

/// The plan that is taken, or none and why.
struct PlanChoice {
  std::optional<EnginePlan> plan;
  std::size_t rank = 0;
  /// An engine before this one was passed over only because nothing but a device could tell whether it works.
  bool estimated = false;
  std::string reason;

  bool operator==(const PlanChoice&) const = default;
};

PlanChoice choose(const PlanPolicy& policy, DType dtype, RankedPlans& plans);

}  // namespace mnemo::cuda
