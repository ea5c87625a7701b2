// Memory snapshots of PyTorch as recordings: the way back from memory_viz, so that a run recorded there can be
// explained here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

struct ImportOptions {
  int device_index = -1;  ///< which of the devices in the snapshot; below 0: the one with most events
};

/// A recording made from a snapshot.
struct ImportedRecording {
  std::string bytes;                  ///< the file of the recording: what Recording::parse reads
  std::size_t device_index = 0;       ///< of the device that was chosen
  std::int64_t contradictions = 0;    ///< events that contradict others, as traces with gaps have them, made good
  std::vector<std::string> warnings;  ///< what was left out or made good, a sentence each
};

/// Reads a snapshot as `torch.cuda.memory._dump_snapshot` writes it (a pickle of protocol 2 to 4, or the same as JSON),
/// with a trace (`_record_memory_history`) that may begin anywhere: what was alive then is found by going back from its
/// end. Sizes of blocks are those of the snapshot's segments; of blocks that were gone by then they follow from what
/// was asked for, by the allocator's rules. A tag's op is the innermost Python frame outside of torch, in threads without one the node of
/// autograd; an event's
/// position is its address, without the unused space between segments. Throws FileError with the file, the event and
/// the reason for what is no snapshot or contradicts itself, and ConfigError for a device that it has not. Takes some 5
/// times the memory of the file, at most some 100 times.
ImportedRecording import_snapshot(const std::string& path, const ImportOptions& options = {});
/// The same from the bytes of a file; `name` is for error texts.
ImportedRecording import_snapshot(std::string bytes, const std::string& name, const ImportOptions& options = {});

}  // namespace mnemo::memory
