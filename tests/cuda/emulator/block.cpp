#include "block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/mman.h>

#include "checks.h"
#include "launch.h"

namespace emulator {

Block::Block() : fibers_(kMostThreads), warps_(kMostThreads / 32) {
  const char* order = std::getenv("MNEMO_EMULATOR_ORDER");  // NOLINT(concurrency-mt-unsafe): only read
  reverse_ = order != nullptr && std::string_view(order) == "reverse";
  judged_ = is_judged();
}

void Block::run(dim3 shape, const Call& call) {
  call_ = &call;
  const unsigned threads = shape.x * shape.y * shape.z;
  whole_ = {.running = static_cast<int>(threads)};
  for (unsigned warp = 0; warp * 32 < threads; ++warp) {
    warps_[warp].barrier = {.running = static_cast<int>(std::min(32u, threads - warp * 32))};
    for (Lanes& slots : warps_[warp].slots) slots.number = 0;
  }
  for (unsigned thread = 0; thread < threads; ++thread) {
    Fiber& fiber = fibers_[thread];
    fiber.is_done = false;
    fiber.awaited = nullptr;
    fiber.exchanges = 0;
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
    if (!moved) return abandon(threads);
  }
}

/// Gives up a block of which no thread can go on.
void Block::abandon(unsigned threads) {
  std::string text = "threads of a block wait at different barriers:";
  int named = 0;
  for (unsigned thread = 0; thread < threads; ++thread) {
    Fiber& fiber = fibers_[thread];
    if (fiber.is_done) continue;
    const bool differs = thread == 0 || fibers_[thread - 1].is_done || fibers_[thread - 1].awaited != fiber.awaited;
    if (differs && named++ < 4)
      text += " from " + thread_text(thread) + " on at one of the " + (fiber.awaited == &whole_ ? "block;" : "warp;");
    fiber.is_done = true;
    fiber.is_started = false;
  }
  whole_.running = 0;
  report(Finding::Kind::barrier, text);
}

void Block::wait(Barrier& barrier) {
  Fiber& fiber = fibers_[current_];
  const std::uint32_t generation = barrier.generation;
  ++barrier.arrived;
  barrier.open_if_all();
  if (barrier.generation != generation) return;
  fiber.awaited = &barrier;
  fiber.generation = generation;
  leave(fiber);
}

bool Block::any(bool value) {
  bool& all = any_[whole_.generation % 2];
  if (whole_.arrived == 0) all = false;
  all = all || value;
  wait(whole_);
  return all;
}

void Block::wait_for_warp(WarpOperation operation, unsigned mask) {
  check_meeting(operation, mask);
  wait(warps_[current_ / 32].barrier);
}

/// Whether the lanes that meet are those that say so, in the same call.
void Block::check_meeting(WarpOperation operation, unsigned mask) {
  Warp& warp = warps_[current_ / 32];
  if (warp.barrier.arrived == 0) {
    warp.operation = operation;
    warp.mask = mask;
  }
  const Pause pause;
  if (warp.operation != operation || warp.mask != mask || (mask >> current_ % 32 & 1u) == 0)
    report(Finding::Kind::barrier, running_thread() + " meets other lanes of its warp in another call than theirs");
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned thread = current_ / 32 * 32 + lane;
    if ((mask >> lane & 1u) == 0 && thread < kMostThreads && !fibers_[thread].is_done)
      report(Finding::Kind::barrier, "a part of a warp meets: not emulated, all of it waits");
  }
}

Lanes& Block::give(WarpOperation operation, unsigned mask, const void* value, std::size_t bytes) {
  const std::uint32_t number = ++fibers_[current_].exchanges;
  Lanes& slots = warps_[current_ / 32].slots[number % 2];
  if (slots.number != number) slots.present = 0;
  slots.number = number;
  slots.present |= 1u << current_ % 32;
  {
    const Pause pause;
    std::memcpy(slots.values[current_ % 32], value, bytes);
  }
  wait_for_warp(operation, mask);
  return slots;
}

void Block::exchange(unsigned mask, void* value, std::size_t bytes, int from) {
  const Lanes& slots = give(WarpOperation::shuffle, mask, value, bytes);
  const Pause pause;
  if (from >= 0 && from < 32 && (slots.present >> from & 1u) != 0) {
    std::memcpy(value, slots.values[from], bytes);
    return;
  }
  report(Finding::Kind::barrier, running_thread() + " takes the value of a lane that does not take part");
}

unsigned Block::ballot(unsigned mask, bool value) {
  const Lanes& slots = give(WarpOperation::vote, mask, &value, sizeof value);
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((slots.present >> lane & 1u) != 0 && slots.values[lane][0] != 0) bits |= 1u << lane;
  }
  return bits;
}

// Switching by setjmp costs no system call, which swapcontext does; that is used for a fiber's first start alone.
void Block::resume(unsigned thread) {
  Fiber& fiber = fibers_[thread];
  current_ = thread;
  registers.thread = fiber.index;
  fiber.awaited = nullptr;
  if (_setjmp(back_) != 0) {
    judging = false;
    return;
  }
  judging = judged_;
  stack_ = reinterpret_cast<std::uintptr_t>(fiber.stack);
  if (fiber.is_started) _longjmp(fiber.where, 1);
  fiber.is_started = true;
  if (fiber.stack == nullptr)
    fiber.stack = static_cast<char*>(
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  stack_ = reinterpret_cast<std::uintptr_t>(fiber.stack);
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack;
  fiber.start.uc_stack.ss_size = kStackBytes;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, &Block::enter, 0);
  setcontext(&fiber.start);
}

void Block::leave(Fiber& fiber) {
  if (_setjmp(fiber.where) == 0) _longjmp(back_, 1);
}

void Block::enter() { block->thread_of_fiber(); }

void Block::thread_of_fiber() {
  while (true) {
    call_->start(call_->parameters.get());
    finish(fibers_[current_]);
    leave(fibers_[current_]);
  }
}

void Block::finish(Fiber& fiber) {
  fiber.is_done = true;
  --whole_.running;
  whole_.open_if_all();
  Barrier& warp = warps_[current_ / 32].barrier;
  --warp.running;
  warp.open_if_all();
}

void Block::end_thread() {
  finish(fibers_[current_]);
  fibers_[current_].is_started = false;
  _longjmp(back_, 1);
}

bool Block::is_on_any_stack(std::uintptr_t at) const {
  return std::any_of(fibers_.begin(), fibers_.end(), [&](const Fiber& fiber) {
    return fiber.stack != nullptr && at - reinterpret_cast<std::uintptr_t>(fiber.stack) < kStackBytes;
  });
}

}  // namespace emulator
