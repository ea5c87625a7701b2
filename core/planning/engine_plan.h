// An engine of a card's library as it would solve one convolution, and the list of them that the library ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/memory/bytes.h>

namespace mnemo {

/// What the library says of an engine's arithmetic; the numbers are cuDNN's.
enum class NumericalNote : std::uint8_t {
  tensor_core,
  down_convert_inputs,
  reduced_precision_reduction,
  fft,
  nondeterministic,
  winograd,
  winograd_4x4,
  winograd_6x6,
  winograd_13x13,
  strict_nan
};
/// What it says of an engine's needs.
enum class BehaviorNote : std::uint8_t {
  runtime_compilation,
  int8_filter_reorder,
  int8_bias_reorder,
  cuda_graph,
  cublaslt
};

struct PlanNotes {
  std::uint32_t numerical = 0;  ///< bit i: NumericalNote i
  std::uint32_t behavior = 0;   ///< bit i: BehaviorNote i

  bool has(NumericalNote note) const { return (numerical >> static_cast<unsigned>(note) & 1) != 0; }
  bool has(BehaviorNote note) const { return (behavior >> static_cast<unsigned>(note) & 1) != 0; }
  /// Their names; one that mnemo does not know yet is "numerical_note_10".
  std::vector<std::string> names() const;

  bool operator==(const PlanNotes&) const = default;
};

struct EnginePlan {
  enum class State : std::uint8_t {
    ready,    ///< finalized: the workspace is that of the real card
    refused,  ///< the library refuses this engine, as it would on the real card
    unknown,  ///< only a device could tell, since its driver loads what is compiled at run time
  };

  int rank = 0;                 ///< place in the library's list, from 0
  std::string engine;           ///< number and knobs, "eng28_k2=1_k24=4"
  memory::Bytes workspace = 0;  ///< known if ready
  PlanNotes notes;
  State state = State::ready;
  std::string reason;  ///< the library's words, unless ready

  bool operator==(const EnginePlan&) const = default;
};

/// The plans of one query, the library's favourite first. Each is built when it is first looked at.
class RankedPlans {
 public:
  using Build = std::function<EnginePlan(std::size_t rank)>;

  /// There are none, and why.
  explicit RankedPlans(std::string obstacle) : obstacle_(std::move(obstacle)) {}
  RankedPlans(std::size_t count, Build build) : plans_(count), build_(std::move(build)) {}
  explicit RankedPlans(const std::vector<EnginePlan>& plans) : plans_(plans.begin(), plans.end()) {}

  std::size_t size() const { return plans_.size(); }
  const EnginePlan& operator[](std::size_t index);
  /// How many were built so far.
  std::size_t built() const;
  const std::string& obstacle() const { return obstacle_; }

 private:
  std::vector<std::optional<EnginePlan>> plans_;
  Build build_;
  std::string obstacle_;
};

}  // namespace mnemo
