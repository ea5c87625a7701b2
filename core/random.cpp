#include <mnemo/core/random.h>

#include <cmath>
#include <limits>
#include <mutex>

namespace mnemo {

namespace {

std::mutex mutex;
RandomState current;

/// The neighbour of a number of type T.
template <class T>
double next(T value, bool up) {
  if constexpr (std::is_floating_point_v<T>) {
    const T infinity = std::numeric_limits<T>::infinity();
    return static_cast<double>(std::nextafter(value, up ? infinity : -infinity));
  } else {
    const auto number = static_cast<float>(value);
    if (number == 0)
      value.bits = up ? 0x0001 : 0x8001;
    else
      value.bits = static_cast<std::uint16_t>((number > 0) == up ? value.bits + 1 : value.bits - 1);
    return static_cast<double>(static_cast<float>(value));
  }
}

}  // namespace

void manual_seed(std::uint64_t seed) { set_random_state({seed, 0}); }

RandomState random_state() {
  const std::lock_guard lock(mutex);
  return current;
}

void set_random_state(RandomState state) {
  const std::lock_guard lock(mutex);
  current = state;
}

RandomState take_random(std::int64_t count) {
  const std::lock_guard lock(mutex);
  const RandomState taken = current;
  current.offset += (static_cast<std::uint64_t>(count) + 3) / 4 * 4;
  return taken;
}

UniformLimits uniform_limits(double low, double high, DType dtype) {
  const double infinity = std::numeric_limits<double>::infinity();
  UniformLimits limits{-infinity, infinity};
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_integral_v<T>) {
      const T first = cast<T>(low), last = cast<T>(high);
      limits.least = cast<double>(first) < low ? next(first, true) : cast<double>(first);
      limits.most = cast<double>(last) >= high ? next(last, false) : cast<double>(last);
    }
  });
  return limits;
}

}  // namespace mnemo
