// How a kernel's grid runs on the host: block after block, the threads of a block as fibers that switch at barriers.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include <cuda_runtime.h>
#include <sys/mman.h>
#include <ucontext.h>

namespace emulator {

namespace {

constexpr std::size_t kStackBytes = 256 << 10;
constexpr unsigned kMostThreads = 1024;

/// Fibers that have arrived at a barrier, which opens when all that are still running have.
struct Barrier {
  int running = 0, arrived = 0;
  unsigned generation = 0;

  void open_if_all() {
    if (arrived > 0 && arrived == running) {
      arrived = 0;
      ++generation;
    }
  }
};

struct Warp {
  Barrier barrier;
  Lanes slots[2];
};

struct Fiber {
  char* stack = nullptr;
  ucontext_t start;
  std::jmp_buf where;
  bool is_started = false, is_done = true;
  uint3 index;
  const Barrier* awaited = nullptr;
  unsigned generation = 0;
  int turn = 0;  ///< which of its warp's slots the lane uses next
};

class Block {
 public:
  Block() : fibers_(kMostThreads), warps_(kMostThreads / 32) {
    const char* order = std::getenv("MNEMO_EMULATOR_ORDER");  // NOLINT(concurrency-mt-unsafe): only read
    reverse_ = order != nullptr && std::string_view(order) == "reverse";
  }

  void run(dim3 shape, const std::function<void()>& body) {
    body_ = &body;
    const unsigned threads = shape.x * shape.y * shape.z;
    whole_ = {.running = static_cast<int>(threads)};
    for (unsigned warp = 0; warp * 32 < threads; ++warp) {
      warps_[warp].barrier = {.running = static_cast<int>(std::min(32u, threads - warp * 32))};
      for (Lanes& slots : warps_[warp].slots) std::memset(&slots, 0, sizeof slots);
    }
    for (unsigned thread = 0; thread < threads; ++thread) {
      Fiber& fiber = fibers_[thread];
      fiber.is_done = false;
      fiber.awaited = nullptr;
      fiber.turn = 0;
      fiber.index = {thread % shape.x, thread / shape.x % shape.y, thread / shape.x / shape.y};
    }
    while (whole_.running > 0) {
      bool moved = false;
      for (unsigned i = 0; i < threads; ++i) {
        const unsigned thread = reverse_ ? threads - 1 - i : i;
        Fiber& fiber = fibers_[thread];
        if (fiber.is_done || (fiber.awaited != nullptr && fiber.awaited->generation == fiber.generation)) continue;
        resume(thread);
        moved = true;
      }
      if (!moved) {
        std::fputs("emulator: threads of a block wait at different barriers\n", stderr);
        std::abort();
      }
    }
  }

  void wait(Barrier& barrier) {
    Fiber& fiber = fibers_[current_];
    const unsigned generation = barrier.generation;
    ++barrier.arrived;
    barrier.open_if_all();
    if (barrier.generation != generation) return;
    fiber.awaited = &barrier;
    fiber.generation = generation;
    leave(fiber);
  }
  void wait_for_block() { wait(whole_); }
  void wait_for_warp() { wait(warps_[current_ / 32].barrier); }

  int lane() const { return static_cast<int>(current_ % 32); }
  Lanes& lanes() { return warps_[current_ / 32].slots[fibers_[current_].turn]; }
  void next_lanes() { fibers_[current_].turn ^= 1; }

 private:
  // Switching by setjmp costs no system call, which swapcontext does; that is used for a fiber's first start alone.
  void resume(unsigned thread) {
    Fiber& fiber = fibers_[thread];
    current_ = thread;
    threadIdx = fiber.index;
    fiber.awaited = nullptr;
    if (_setjmp(back_) != 0) return;
    if (fiber.is_started) _longjmp(fiber.where, 1);
    fiber.is_started = true;
    fiber.stack = static_cast<char*>(
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack;
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, &Block::enter, 0);
    setcontext(&fiber.start);
  }
  void leave(Fiber& fiber) {
    if (_setjmp(fiber.where) == 0) _longjmp(back_, 1);
  }
  static void enter();
  void thread_of_fiber() {
    while (true) {
      (*body_)();
      Fiber& fiber = fibers_[current_];
      fiber.is_done = true;
      --whole_.running;
      whole_.open_if_all();
      Barrier& warp = warps_[current_ / 32].barrier;
      --warp.running;
      warp.open_if_all();
      leave(fiber);
    }
  }

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  Barrier whole_;
  std::jmp_buf back_;
  unsigned current_ = 0;
  bool reverse_ = false;
  const std::function<void()>* body_ = nullptr;
};

Block& block() {
  static auto* block = new Block;  // with its stacks as long as the process
  return *block;
}

void Block::enter() { block().thread_of_fiber(); }

std::mutex turn;
long long count = 0;

}  // namespace

void wait_for_block() { block().wait_for_block(); }
void wait_for_warp() { block().wait_for_warp(); }
Lanes& lanes() { return block().lanes(); }
void next_lanes() { block().next_lanes(); }
int lane() { return block().lane(); }
long long launches() { return count; }

cudaError_t run(cudaStream_t stream, const void* kernel, dim3 grid, dim3 shape, std::function<void()> body) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 || grid.x > 2147483647u)
    return cudaErrorInvalidConfiguration;
  if (shape.x * shape.y * shape.z == 0 || shape.x * shape.y * shape.z > kMostThreads || shape.z > 64)
    return cudaErrorInvalidConfiguration;
  return queue(stream, [kernel, grid, shape, body = std::move(body)] {
    const std::lock_guard lock(turn);
    ++count;
    list_launch(kernel, grid, shape);
    gridDim = grid;
    blockDim = shape;
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
          blockIdx = {x, y, z};
          block().run(shape, body);
        }
      }
    }
  });
}

}  // namespace emulator
