// The one symbol by which core reaches the CUDA layer above it; cuda/ defines it (or cuda/absent/backend.cpp does).
#pragma once

#include <memory>
#include <string>

#include <mnemo/memory/config.h>

namespace mnemo {

class Backend;

/// The CUDA device of that index, or null with the reason why there is none.
std::shared_ptr<Backend> open_cuda_device(int index, const memory::AllocatorConfig& config, std::string& reason);

}  // namespace mnemo
