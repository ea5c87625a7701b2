// MNEMO_EMULATOR_LAUNCHES=1: says on stderr what is queued, in order.
#include <cstdio>
#include <cstdlib>

#include <cuda_runtime.h>

#include "launch.h"

namespace emulator {

namespace {

bool is_wanted() {
  static const bool wanted = std::getenv("MNEMO_EMULATOR_LAUNCHES") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  return wanted;
}

}  // namespace

void list_launch(const void* kernel, dim3 grid, dim3 block) {
  if (!is_wanted()) return;
  const unsigned long long blocks = 1ULL * grid.x * grid.y * grid.z;
  std::fprintf(stderr, "launch %s <<<%llu, %u>>>\n", function_name(kernel).c_str(), blocks,
               block.x * block.y * block.z);
}
void list_work(const char* what, std::size_t bytes) {
  if (is_wanted()) std::fprintf(stderr, "launch %s %zu bytes\n", what, bytes);
}

}  // namespace emulator
