#include <mnemo/core/random.h>

#include <mutex>

namespace mnemo {

namespace {

std::mutex mutex;
RandomState current;

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

}  // namespace mnemo
