// Notes: facts about layers that blocks of memory do not show, told as markers to whoever listens to a device's
// allocator. Each fact is told once per module and op, and again when it changes or when somebody new listens.
#pragma once

#include <mnemo/core/array.h>
#include <mnemo/core/conv.h>
#include <mnemo/memory/allocator.h>

namespace mnemo {

/// "output conv2d (8, 64, 112, 112) float32": what the current op made, under the current module.
void tell_output(const Array& output);
/// "plan conv2d forward eng46_k2=0 17563664": how the current op is computed, with its workspace in bytes.
void tell_plan(ConvPass pass, const ConvPlan& plan, const Device& device);
/// "phase optimizer": here the current phase begins, also where it allocates nothing. Told each time.
void tell_phase(const Device& device);

// Nothing but a comparison where nobody ever listened.
inline void note_output(const Array& output) {
  if (output.defined() && output.device().allocator().latest_subscription() != 0) tell_output(output);
}
inline void note_plan(ConvPass pass, const ConvPlan& plan, const Device& device) {
  if (device.allocator().latest_subscription() != 0) tell_plan(pass, plan, device);
}
inline void note_phase(const Device& device) {
  if (device.allocator().latest_subscription() != 0) tell_phase(device);
}

}  // namespace mnemo
