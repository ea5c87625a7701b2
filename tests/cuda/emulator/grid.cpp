// How a kernel's grid runs on the host: block after block; and what those who judge it ask about the thread that runs.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <utility>

#include "block.h"
#include "checks.h"
#include "launch.h"

namespace emulator {

namespace {

std::mutex turn;
long long count = 0;
std::vector<double> sample;

uint3 index_of(std::uint64_t number) {
  const dim3& grid = registers.blocks;
  return {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
          static_cast<unsigned>(number / grid.x / grid.y)};
}

std::string text_of(const uint3& index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

/// The blocks that are run of so many.
std::vector<std::uint64_t> sampled(std::uint64_t blocks) {
  std::vector<std::uint64_t> numbers;
  for (const double share : sample)
    numbers.push_back(static_cast<std::uint64_t>(std::llround(share * static_cast<double>(blocks - 1))));
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

void run_block(std::uint64_t number, const dim3& shape, const Call& call) {
  running_block = static_cast<std::uint32_t>(number);
  registers.block = index_of(number);
  if (is_judged()) begin_judged_block(shape.x * shape.y * shape.z);
  block->run(shape, call);
}

void run_grid(const dim3& grid, const dim3& shape, const Call& call) {
  const std::lock_guard lock(turn);
  ++count;
  list_launch(call.kernel, grid, shape);
  if (block == nullptr) block = new Block;  // with its stacks as long as the process
  registers.blocks = grid;
  registers.threads = shape;
  running_call = &call;
  if (is_judged()) begin_judged_launch();
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  if (sample.empty()) {
    for (std::uint64_t number = 0; number < blocks; ++number) run_block(number, shape, call);
  } else {
    for (const std::uint64_t number : sampled(blocks)) run_block(number, shape, call);
  }
}

}  // namespace

bool is_judged() {
  static const bool judged = [] {
    const char* checks = std::getenv("MNEMO_EMULATOR_CHECKS");  // NOLINT(concurrency-mt-unsafe): only read
    return checks == nullptr || std::string_view(checks) != "0";
  }();
  return judged;
}

cudaError_t run(cudaStream_t stream, dim3 grid, dim3 shape, std::size_t shared_bytes, Call call) {
  const std::uint64_t threads = std::uint64_t{shape.x} * shape.y * shape.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 || grid.x > 2147483647u)
    return refuse(cudaErrorInvalidConfiguration);
  if (threads == 0 || threads > Block::kMostThreads || shape.z > 64) return refuse(cudaErrorInvalidConfiguration);
  if (shared_bytes > 48 << 10) return refuse(cudaErrorInvalidValue);
  return queue(stream, [grid, shape, call = std::move(call)] { run_grid(grid, shape, call); });
}

void wait_for_block() { block->wait_for_block(); }
bool any_of_block(bool value) { return block->any(value); }
void fence() {
  if (judging) judge_fence();
}
void wait_for_warp(unsigned mask) { block->wait_for_warp(WarpOperation::wait, mask); }
void exchange(unsigned mask, void* value, std::size_t bytes, int from) { block->exchange(mask, value, bytes, from); }
unsigned ballot(unsigned mask, bool value) { return block->ballot(mask, value); }
int lane() { return static_cast<int>(block->thread() % 32); }
void touch_atomically(void* at, std::size_t bytes) {
  if (judging) access(reinterpret_cast<std::uintptr_t>(at), bytes, Access::atomic, true);
}
long long launches() { return count; }

void sample_blocks(std::vector<double> shares) { sample = std::move(shares); }

std::string running_kernel() { return running_call == nullptr ? "?" : function_name(running_call->kernel); }
std::string block_text(std::uint32_t number) { return "block " + text_of(index_of(number)); }
std::string thread_text(std::uint32_t number) { return "thread " + text_of(block->index_of(number)); }
std::string running_thread() { return block_text(running_block) + " " + thread_text(block->thread()); }
bool is_any_stack(std::uintptr_t at) { return block->is_on_any_stack(at); }
void end_thread() { block->end_thread(); }

}  // namespace emulator
