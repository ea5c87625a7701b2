// Explanation: what a recording's peaks are made of, layer by layer and block
// by block, and what would lower them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <mnemo/memory/account.h>
#include <mnemo/memory/earlier_steps.h>
#include <mnemo/memory/layer_notes.h>

namespace mnemo::memory {

/// One op of one module. What the rows hold at the peak adds up to what is
/// allocated there.
struct LayerRow {
  std::string module, op;
  OutputNote output;            ///< empty where the recording has no note about it
  Bytes parameters = 0;         ///< alive at the peak, of the module; with its first op
  Bytes saved = 0;              ///< the most that it held for backward at once, in the step
                                ///< of the peak
  Bytes workspace = 0;          ///< the largest one that it had in that step
  std::string algorithm;        ///< of the pass with that workspace; without one, of
                                ///< all passes
  std::vector<PlanNote> plans;  ///< all passes of a convolution
  Bytes at_peak = 0;            ///< all that is held by it at the peak
};

/// A block that is alive at the peak, with its life.
struct LongBlock {
  LiveBlock block;
  std::string op, module;      ///< of its tag
  std::int64_t until = -1;     ///< the event that freed it; -1: alive at the end of the recording
  Phase made = Phase::setup;   ///< the phase in which it was allocated
  Phase freed = Phase::setup;  ///< the phase in which it was freed, or in which
                               ///< the recording ended
  std::int64_t freed_step = 0;
};

/// One way to need less, counted alone. An estimate takes what the measure is
/// about away from every moment of the recording, as if nothing else changed by
/// it; what is allocated instead, such as what another algorithm needs, is not in
/// it.
struct Advice {
  std::string action;     ///< "limit workspaces"
  std::string metric;     ///< which figure falls: "peak_allocated" or "peak_reserved"
  Bytes bytes = 0;        ///< by how much
  std::string evidence;   ///< a sentence with the numbers
  bool measured = false;  ///< by doing the same again so; else it is an estimate
};

struct Explanation {
  RecordingHeader header;
  bool whole = true;      ///< the recording has its beginning and its end
  Account peak;           ///< at which `allocated` was highest
  Account peak_reserved;  ///< at which `reserved` was highest
  Bytes context = 0;      ///< outside of the allocator; 0 where it is unknown
  bool context_known = false;
  HeldSteps held_steps;            ///< earlier steps that still held memory; 0 bytes where none did
  std::vector<LayerRow> layers;    ///< in the order of their first events
  std::vector<LongBlock> largest;  ///< at most ten, largest first
  std::vector<Advice> advice;      ///< what lowers a peak most comes first

  /// What a tool that asks the driver would show at the most. Bytes.
  Bytes device_use() const { return peak_reserved.reserved + context; }
};

/// Walks through the recording a few times.
Explanation explain(const Recording& recording);
/// The peak in one paragraph.
std::string paragraph(const Explanation& explanation);

/// What would lower the peaks, most effective first: a part of `explain`.
std::vector<Advice> advise(const Recording& recording, const Account& peak, const LayerNotes& notes);

}  // namespace mnemo::memory
