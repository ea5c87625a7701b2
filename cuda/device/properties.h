// What the runtime says of a real device: the descriptor that cuDNN plans with, and the figures of a card.
#pragma once

#include <string>

#include <mnemo/core/card.h>
#include <mnemo/cuda/card_properties.h>

namespace mnemo::cuda {

/// The devices that the driver shows; 0 with the reason where there are none.
int device_count(std::string& reason);

/// The members of a card file, all "from a device"; its name is "cuda:INDEX". Throws CudaError.
CardProperties device_properties(int index);

/// The device as a card: its own name, capacity and context, cuBLASLt's workspace by its compute capability, and speeds
/// of the known card of its name (0 where there is none). Its texts live as long as the process.
Card device_card(int index, const CardProperties& properties, memory::Bytes context);

}  // namespace mnemo::cuda
