// The same training steps on two devices, with what each part of a step did to memory: whether a virtual device does
// byte for byte what the real one does, and where it first does not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "training/trainer.h"

namespace mnemo::training {

/// What is trained.
struct ParityPoint {
  models::Spec spec = {};
  std::int64_t batch = 1;
  std::int64_t size = 1;  ///< 0 where the model has its own
  TrainerOptions training = {};

  /// "float32", "bfloat16 autocast": of the parameters, and what is computed in.
  std::string dtype() const;
  /// "resnet18, batch 8, size 224, bfloat16 autocast, adam"
  std::string text() const;
};

/// `dtype` as ParityPoint::dtype says it; throws ConfigError for what no point has.
void read_dtype(const std::string& dtype, TrainerOptions& training);

/// Where a part of step `step` ended; step 0 is the model as it was made, its phase "setup".
struct Moment {
  std::int64_t step = 0;
  PhaseReport memory;

  bool operator==(const Moment&) const = default;
};

/// Which points are worth it.
struct ParityLimits {
  std::int64_t steps = 3;
  double seconds = 0;  ///< for one point on a device that computes; 0: any time
};

/// What a device did at one point.
struct ParityRun {
  std::vector<Moment> moments;
  std::string skipped;                              ///< why there are none; or ""
  double seconds = 0;                               ///< of all steps, on a device that computes
  std::int64_t operations = 0;                      ///< of all steps
  std::int64_t estimated = 0;                       ///< convolution passes whose workspace nobody knows
  std::vector<ConvTrace::Entry> convolutions = {};  ///< of the first step
};

/// Trains a new model on `device`, whose cache is emptied before and after; nothing else should be in use there. What
/// does not fit, or takes longer than the limit, is skipped with the reason. The program's random numbers are not
/// touched.
ParityRun run_point(const ParityPoint& point, const Device& device, const ParityLimits& limits);

/// The largest difference of any of the four figures at any moment, in bytes, and the first moment that has one.
struct ParityDifference {
  memory::Bytes bytes = 0;
  std::optional<std::size_t> first = {};  ///< index into both lists
};
/// Lists of other lengths or phases differ from where they do so, by the bytes that one side has there.
ParityDifference difference(const std::vector<Moment>& one, const std::vector<Moment>& other);

/// The points of a model: batches 1 and its own, sizes that it takes (its own, and a smaller one), every dtype of
/// parameters and of autocast, SGD and Adam. `small`: one batch of 2 at the smaller size, float32 and bfloat16
/// autocast.
std::vector<ParityPoint> usual_points(const models::Spec& spec, bool small);

/// The virtual device that stands for a device: the card that drivers call so, "virtual:cpu:2GiB" for "cpu:2GiB"; a
/// virtual one is its own. "" where no card is called so.
std::string twin_of(const Device& device);
/// The same; throws ConfigError where no card is called so.
std::string required_twin(const Device& device);

}  // namespace mnemo::training
