// One engine of cuDNN by its name in mnemo, "eng28_k2=1_k24=4": the engine's number and the knobs that are turned.
#pragma once

#include <string>
#include <string_view>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/cuda/card_properties.h>
#include <mnemo/cuda/cudnn/descriptor.h>

namespace mnemo::cuda {

/// What the library must know of a card, there or not.
Descriptor device_descriptor(const CardProperties& card);

/// The name of an engine that the library ranked.
std::string engine_name(const Descriptor& config, const Descriptor& engine);

/// The plan by which that engine solves a pass on such a device. It runs on a device with the same properties. Throws
/// CudaError with the library's words if it does not take the engine, or the name is none.
Descriptor execution_plan(const ConvQuery& query, std::string_view engine, const Descriptor& device);
/// The same for the device of a handle.
Descriptor execution_plan(const ConvQuery& query, std::string_view engine, cudnnHandle_t handle);

}  // namespace mnemo::cuda
