// The kernel that runs, as those see it who judge it. Known while `judging`.
#pragma once

#include <cstdint>
#include <string>

#include "order.h"

namespace emulator {

/// Whether kernels are judged: not if MNEMO_EMULATOR_CHECKS is 0.
bool is_judged();

/// The name of a function of the program, without namespaces and parameters.
std::string function_name(const void* function);
/// What lies so many bytes behind the first variable of a host thread, in words; nothing for what only the compiler
/// knows of.
std::string shared_name(std::uintptr_t offset);

std::string running_kernel();
std::string running_thread();
std::string block_text(std::uint32_t number);
std::string thread_text(std::uint32_t number);

bool is_any_stack(std::uintptr_t at);

/// Ends the thread that runs.
[[noreturn]] void end_thread();

void begin_judged_launch();
void begin_judged_block(std::uint32_t threads);
void judge_fence();

}  // namespace emulator
