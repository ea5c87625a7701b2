#include <mnemo/core/random.h>
#include <mnemo/core/random_stream.h>

#include <cmath>
#include <limits>
#include <mutex>

namespace mnemo {

namespace {

std::mutex mutex;
RandomState current;
thread_local RandomState* own = nullptr;  // instead of `current`, on a thread with a stream of its own

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
  if (own != nullptr) return *own;
  const std::lock_guard lock(mutex);
  return current;
}

void set_random_state(RandomState state) {
  if (own != nullptr) {
    *own = state;
    return;
  }
  const std::lock_guard lock(mutex);
  current = state;
}

namespace {

RandomState take(RandomState& from, std::int64_t count) {
  const RandomState taken = from;
  from.offset += (static_cast<std::uint64_t>(count) + 3) / 4 * 4;
  return taken;
}

}  // namespace

RandomState take_random(std::int64_t count) {
  if (own != nullptr) return take(*own, count);
  const std::lock_guard lock(mutex);
  return take(current, count);
}

RandomStreamScope::RandomStreamScope(RandomState start) : own_(start), before_(own) { own = &own_; }
RandomStreamScope::~RandomStreamScope() { own = before_; }

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
