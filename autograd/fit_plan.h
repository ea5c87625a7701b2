// Fitting a training program into a device's memory: the cheapest of the ways that are allowed, found and proven by dry
// runs on the virtual device.
//
//   const FitTrial found = plan({.device = "virtual:a100-40gb", .batch = 256, .program = train});
//   found.fits, found.choices, found.peak_allocated, ...
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/autograd/checkpoint_plan.h>
#include <mnemo/autograd/stage_costs.h>
#include <mnemo/core/dry_run.h>
#include <mnemo/core/work.h>
#include <mnemo/core/workspace_limits.h>

namespace mnemo {

struct Card;

/// What makes a step smaller.
enum class Technique : std::uint8_t {
  in_place,          ///< activations overwrite their inputs
  step_in_backward,  ///< parameters are updated, and their gradients freed, during backward
  workspace,         ///< convolutions take plans with small workspaces, in those layers that must
  amp,               ///< autocast to bfloat16; the only one that computes something else
  accumulate,        ///< several smaller batches make one update; batch normalization sees the smaller ones
  checkpoint,        ///< parts of the forward pass are computed again
  offload,           ///< what is saved for backward waits in host memory
};
inline constexpr int kTechniques = 7;
/// "in-place", "optimizer-in-backward", "workspace", "amp", "accumulate", "checkpoint", "offload"
const char* name(Technique technique);

/// How a program shall train.
struct FitChoices {
  std::int64_t batch = 1;       ///< of each forward pass
  std::int64_t accumulate = 1;  ///< forward passes for one update
  bool in_place = false;
  bool step_in_backward = false;
  bool offload = false;
  WorkspaceLimits workspace = {};  ///< of convolutions
  std::optional<DType> amp = {};
  std::optional<CheckpointPlan> checkpoint = {};

  std::vector<Technique> used() const;
  bool operator==(const FitChoices&) const = default;
};

struct FitRequest {
  std::string device;  ///< a virtual one with a capacity
  memory::AllocatorConfig config = memory::AllocatorConfig::from_environment();
  std::int64_t batch = 1;  ///< for one update
  std::vector<Technique> allow = {};
  DType dtype = DType::float32;  ///< of the parameters; autocast is for float32 alone
  std::int64_t steps = 2;        ///< that the program trains: as many as its memory needs to settle
  /// Makes a model on the current device and trains it so.
  std::function<void(const FitChoices&)> program;
  /// The costs of the model's stages on the current device, for plans of checkpoints; without it there are none.
  std::function<std::vector<StageCosts>(const FitChoices&)> stages = {};
};

/// A way to train, tried.
struct FitTrial {
  FitChoices choices = {};
  bool fits = false;
  std::optional<OutOfMemory::Details> failure = {};
  memory::Bytes peak_allocated = 0;
  memory::Bytes peak_reserved = 0;
  memory::Bytes spare = 0;                   ///< of what the device has, beside the reserved
  Work work = {};                            ///< of one step
  std::int64_t extra_operations = 0;         ///< of one step, beyond the plain way
  std::optional<double> extra_seconds = {};  ///< the same on the card, if the device is one: see `roofline`
  /// The largest workspace that each layer's convolutions took or asked for, by module path.
  std::map<std::string, memory::Bytes, std::less<>> workspaces = {};
};

/// The least time that a card takes for some work with elements of that type: products at its peak of arithmetic, each
/// other element read and written once at its bandwidth (Williams, Waterman and Patterson, Roofline, 2009). Seconds.
double roofline(const Card& card, const Work& work, DType dtype);

/// Dry runs of one program on one device.
class Fitting {
 public:
  /// Throws DeviceError for a device that is not virtual or has no capacity, ConfigError for a batch below 1.
  explicit Fitting(FitRequest request);

  /// Without any technique, as if the device had room.
  const FitTrial& plain() const { return plain_; }
  /// The plain way on the device itself.
  FitTrial as_it_is();
  /// The cheapest ways that fit, at most `most` of them: by extra time, then those that compute the same before those
  /// that do not, then by the number of techniques, then by that of limited layers. None of them does all that an
  /// earlier one does, and more. With `single` only one technique each.
  std::vector<FitTrial> cheapest(std::size_t most, bool single = false);
  /// Tries one way.
  FitTrial attempt(const FitChoices& choices);

  std::int64_t dry_runs() const { return dry_runs_; }

 private:
  bool allowed(Technique technique) const;
  double cost(const FitTrial& trial) const;
  bool better(const FitTrial& a, const FitTrial& b) const;
  std::vector<FitChoices> combinations() const;
  void add_checkpoints(const FitChoices& base, bool alone, std::vector<FitTrial>& found);
  /// The same with small workspaces where it does not fit otherwise and that is allowed.
  FitTrial attempt_limiting(const FitChoices& choices);
  /// In the place of one that limits every layer, one that limits those which must.
  FitTrial limiting_single_layers(FitTrial trial);
  FitTrial run(const FitChoices& choices, const std::string& device);

  FitRequest request_;
  const Card* card_ = nullptr;
  memory::Bytes capacity_ = 0, context_ = 0;
  FitTrial plain_;
  std::int64_t dry_runs_ = 0;
};

/// The cheapest way that fits; where none does, the plain one with what stopped it.
FitTrial plan(const FitRequest& request);

}  // namespace mnemo
