// A CUDA device for PyTorch that is not there: its memory is addresses without anything behind them, its streams do
// nothing, and time does not pass. Preloaded (stand_in.py), it answers in the place of the CUDA runtime, cuBLAS and a
// part of cuDNN, so that PyTorch's own allocator and own choices run unchanged on a machine without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stand_in {

/// Bytes of device memory in use: segments and mapped pages.
std::size_t used_bytes();
std::size_t capacity();
/// Takes `bytes` of the device's memory if there are as many; gives them back when negative.
bool take(std::int64_t bytes);

/// A range of addresses, a multiple of 2 MiB, that nobody else has. The lowest free one that fits, or, with
/// STAND_IN_ORDER=descending, the highest.
std::uintptr_t reserve_addresses(std::size_t bytes);
void release_addresses(std::uintptr_t address);
/// Whether it is an address of the device's.
bool is_device(const void* address);

}  // namespace stand_in
