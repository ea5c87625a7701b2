// The GPU that tests run on: a real one, or the emulation where a binary is linked with it.
#pragma once

#include <optional>
#include <string>

#include <mnemo/core/device.h>

/// The device "cuda", or nothing, which is said aloud once: without a GPU such a test checks nothing.
std::optional<mnemo::Device> cuda_device();

/// A new device on the same GPU that shares nothing with others. REQUIRES: cuda_device().
mnemo::Device new_cuda_device(const mnemo::memory::AllocatorConfig& config = {});

/// The virtual device that stands for that GPU, "virtual:h200", or "" if no card of its name is known.
std::string virtual_twin();
