// A block of a kernel's grid: its threads are fibers of the host thread that runs it.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <vector>

#include <cuda_runtime.h>
#include <ucontext.h>

namespace emulator {

/// Fibers that have arrived at a barrier, which opens when all that are still running have.
struct Barrier {
  int running = 0, arrived = 0;
  std::uint32_t generation = 0;

  void open_if_all() {
    if (arrived > 0 && arrived == running) {
      arrived = 0;
      ++generation;
    }
  }
};

/// Where lanes leave something for the others of their warp; two in turn, so that one barrier is enough.
struct Lanes {
  unsigned char values[32][8];
  std::uint32_t number = 0;  ///< of the exchange, counted from 1
  unsigned present = 0;      ///< the lanes that take part
};

struct Warp {
  Barrier barrier;
  WarpOperation operation;  ///< at which the first lane waits
  unsigned mask;
  Lanes slots[2];
};

struct Fiber {
  char* stack = nullptr;
  ucontext_t start;
  std::jmp_buf where;
  bool is_started = false, is_done = true;
  uint3 index;
  const Barrier* awaited = nullptr;
  std::uint32_t generation = 0;
  std::uint32_t exchanges = 0;
};

class Block {
 public:
  static constexpr std::size_t kStackBytes = 256 << 10;
  static constexpr unsigned kMostThreads = 1024;

  Block();
  void run(dim3 shape, const Call& call);

  // What the fiber that runs calls.
  void wait_for_block() { wait(whole_); }
  bool any(bool value);
  void wait_for_warp(WarpOperation operation, unsigned mask);
  void exchange(unsigned mask, void* value, std::size_t bytes, int from);
  unsigned ballot(unsigned mask, bool value);
  /// The thread is done, wherever it is.
  [[noreturn]] void end_thread();

  std::uint32_t thread() const { return current_; }
  const uint3& index_of(std::uint32_t thread) const { return fibers_[thread].index; }
  std::uint32_t epoch() const { return whole_.generation; }
  std::uint32_t epoch_of_warp() const { return warps_[current_ / 32].barrier.generation; }
  /// Whether it is on the stack of the thread that runs, or of any.
  bool is_on_stack(std::uintptr_t at) const { return at - stack_ < kStackBytes; }
  bool is_on_any_stack(std::uintptr_t at) const;

 private:
  void wait(Barrier& barrier);
  void check_meeting(WarpOperation operation, unsigned mask);
  Lanes& give(WarpOperation operation, unsigned mask, const void* value, std::size_t bytes);
  void resume(unsigned thread);
  void leave(Fiber& fiber);
  void finish(Fiber& fiber);
  void abandon(unsigned threads);
  static void enter();
  void thread_of_fiber();

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  Barrier whole_;
  bool any_[2] = {false, false};
  std::jmp_buf back_;
  unsigned current_ = 0;
  std::uintptr_t stack_ = 0;  ///< of the thread that runs
  bool reverse_ = false, judged_ = true;
  const Call* call_ = nullptr;
};

/// The one that runs, or ran last; not null once one did.
inline Block* block = nullptr;
/// Its number in the grid, and the kernel.
inline std::uint32_t running_block = 0;
inline const Call* running_call = nullptr;

}  // namespace emulator
