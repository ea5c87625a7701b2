// Learning rates that change while training. A Schedule is the rate as a function of the step, and nothing else: the
// number of the step, which the program counts anyway, is all there is to save.
//
//   const optim::Schedule rate = optim::warmup(500, optim::cosine(0.1, 0, 20000));
//   for (std::int64_t step = first; step < last; ++step) {
//     optimizer.set_lr(rate(step));
//     ...
//   }
//
// The rate is set before StepGraph::run, never in the step that is recorded: that reads it where set_lr writes it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace mnemo::optim {

/// The learning rate at a step (or epoch), 0 being the first. Any function is one:
/// `[](std::int64_t step) { return 0.1 / (1 + 0.01 * step); }`. Those made here throw ConfigError, when they are made,
/// for numbers that make no sense, and for a step below 0.
using Schedule = std::function<double(std::int64_t step)>;

/// lr * factor^(step / every), the quotient rounded down (PyTorch's StepLR).
Schedule step_decay(double lr, std::int64_t every, double factor = 0.1);
/// lr * factor^(how many of the milestones are at `step` or before it), in ascending order (MultiStepLR).
Schedule multi_step_decay(double lr, std::vector<std::int64_t> milestones, double factor = 0.1);
/// lr * factor^step (ExponentialLR).
Schedule exponential_decay(double lr, double factor);
/// From `from` at step 0 to `to` at step `steps`, and that from then on: to + (from - to) (1 - step / steps)^power
/// (PolynomialLR; with a power of 1 LinearLR).
Schedule polynomial(double from, double to, std::int64_t steps, double power = 1);
/// From `from` at step 0 to `to` at step `steps` along half a wave of the cosine, and that from then on (Loshchilov and
/// Hutter, SGDR, 2016, equation 5). CosineAnnealingLR, which would rise again behind its last step.
Schedule cosine(double from, double to, std::int64_t steps);
/// For `steps` steps a rate that rises linearly from `start` times the first rate of `next` to all of it; then `next`,
/// from its step 0 on (LinearLR and another one in SequentialLR).
Schedule warmup(std::int64_t steps, Schedule next, double start = 1.0 / 3);

struct OneCycleOptions {
  double max_lr = 0;
  std::int64_t steps = 0;     ///< of the whole training
  double rising = 0.3;        ///< the share of them in which the rate rises
  double start_divisor = 25;  ///< the first rate is max_lr / start_divisor,
  double end_divisor = 1e4;   ///< and the last one that / end_divisor
  bool linear = false;        ///< straight lines instead of half waves of the cosine
};
/// Up to the largest rate and down to almost nothing (Smith and Topin, Super-Convergence, 2017; OneCycleLR, but that
/// momentum stays as it is). The last step's rate stays from then on.
Schedule one_cycle(const OneCycleOptions& options);

struct ReduceOnPlateauOptions {
  double factor = 0.1;
  std::int64_t patience = 10;  ///< measurements without improvement that change nothing yet
  double threshold = 1e-4;     ///< what counts as improvement: this part of the best one's size
  bool relative = true;        ///< or, if not, this much in absolute numbers
  std::int64_t cooldown = 0;   ///< measurements after a reduction that count for nothing
  double min_lr = 0;
  bool maximize = false;  ///< a larger measurement is better, as of an accuracy
};

/// What a ReduceOnPlateau must know to go on in another run.
struct ReduceOnPlateauState {
  double lr = 0;
  double best = std::numeric_limits<double>::quiet_NaN();  ///< not a number: nothing was measured yet
  std::int64_t bad = 0;                                    ///< measurements without improvement, in a row
  std::int64_t cooldown = 0;                               ///< measurements that will still count for nothing
};

/// The rate that falls when a measurement no longer improves (PyTorch's ReduceLROnPlateau): the one that depends on
/// more than the step. `optimizer.set_lr(rate(validation_loss))` once an epoch.
class ReduceOnPlateau {
 public:
  /// Throws ConfigError for numbers that make no sense.
  explicit ReduceOnPlateau(double lr, const ReduceOnPlateauOptions& options = {});

  /// Takes a measurement and gives the rate from now on. One that is not a number is no improvement.
  double operator()(double measured);
  double lr() const { return state_.lr; }

  const ReduceOnPlateauState& state() const { return state_; }
  /// Goes on from there; throws ConfigError as the constructor does.
  void load(const ReduceOnPlateauState& state);

 private:
  bool improves(double measured) const;

  ReduceOnPlateauOptions options_;
  ReduceOnPlateauState state_;
};

}  // namespace mnemo::optim
