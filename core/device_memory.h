// What a program asks of a device's memory, by device: how much, at most how much, who holds it, and a record of it.
//
//   memory::reset_peak();
//   loss.backward();
//   std::puts(memory::summary().c_str());
//
// Everything is about the device that is named, or about the thread's current one. All functions may be called on any
// thread; each answer is of one moment, and two answers are of two. Bytes are those of the caching allocator: what a
// driver's tool shows is `reserved` plus `context`, plus what other processes hold.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mnemo/core/device.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/scope.h>

namespace mnemo::memory {

/// Bytes in blocks that are handed out, after rounding: what torch.cuda.memory_allocated counts.
Bytes allocated(const Device& device = {});
/// The highest that `allocated` has been since the device was opened or `reset_peak` was called. Bytes.
Bytes max_allocated(const Device& device = {});
/// Bytes in segments that the allocator has from the device: what is allocated and what is cached for reuse.
Bytes reserved(const Device& device = {});
/// The highest that `reserved` has been since the device was opened or `reset_peak` was called. Bytes.
Bytes max_reserved(const Device& device = {});
/// Bytes that the driver's context and libraries take on the device besides `reserved`, as far as it is known: 0 for a
/// CPU, the card's figure for a virtual card, what was measured when it was opened for a GPU.
std::optional<Bytes> context(const Device& device = {});

/// Every peak counts from the present values on, also those by category.
void reset_peak(const Device& device = {});
/// Gives every segment without a block in use back to the device, once pending work on them is done. `reserved` falls;
/// what is allocated stays.
void empty_cache(const Device& device = {});

/// Every counter of the allocator.
Statistics stats(const Device& device = {});
/// Bytes per category now; they add up to `allocated`.
CategoryBytes categories(const Device& device = {});
/// `max_allocated` by category, and for what the allocation was that reached it.
Peak peak(const Device& device = {});
/// Every segment and the blocks that tile it, by address.
std::vector<SegmentView> snapshot(const Device& device = {});
/// All of this as the table that users of caching allocators know.
std::string summary(const Device& device = {});

/// Records everything that happens to the device's memory to the file at `path`, which is replaced, until the result is
/// destroyed or stopped: `mnemo explain`, `diff` and `report` read it. Memory does not grow with it. The device's name
/// and context, and its allocator's options, are recorded too. Throws FileError when the file cannot be made.
[[nodiscard]] Recorder record(const std::string& path, const Device& device = {});
/// The same to a ring in memory, which keeps the latest events. Throws ConfigError for a ring of less than one event.
[[nodiscard]] Recorder record(Ring ring, const Device& device = {});

}  // namespace mnemo::memory
