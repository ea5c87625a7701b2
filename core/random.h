// Random numbers of a program: one seed, and an offset that every use moves on.
#pragma once

#include <cstdint>

#include <mnemo/core/dtype.h>

namespace mnemo {

/// Where a use of random numbers begins in the Philox stream.
struct RandomState {
  std::uint64_t seed = 0;
  std::uint64_t offset = 0;  ///< in 32-bit words, a multiple of 4
};

/// Starts the program's stream anew. Thread-safe, like the rest here; at first the seed is 0.
void manual_seed(std::uint64_t seed);
/// The present state, and setting it back (for resuming a run or recomputing a part of it).
RandomState random_state();
void set_random_state(RandomState state);
/// Takes `count` numbers: their state is returned, the stream moves behind them.
RandomState take_random(std::int64_t count);

/// The smallest and the largest number of `dtype` in [low, high): a uniform number is limited to them, as rounding it
/// to the dtype could reach `high`. No limits for integers.
struct UniformLimits {
  double least, most;
};
UniformLimits uniform_limits(double low, double high, DType dtype);

}  // namespace mnemo
