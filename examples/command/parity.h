// What `mnemo parity` compares: training steps, and the plans of their convolutions, on a device and on its virtual
// twin; the device's side may come from a file.
#pragma once

#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "command/output.h"
#include "training/parity.h"

namespace mnemo::command {

/// What one side is.
struct ParitySide {
  std::string device;  ///< its name
  std::string cudnn;   ///< the version that decides, or ""
  std::string source;  ///< where its decisions come from
  memory::Bytes context = 0;
  memory::Bytes capacity = 0;
};
ParitySide describe_side(const Device& device);

struct ParityResult {
  training::ParityPoint point;
  std::vector<training::Moment> device, twin;
  std::string skipped;  ///< why it is not compared; or ""
  training::ParityDifference difference;
};

/// One of a library's plans, as it is written down.
struct PlanRow {
  int rank = 0;  ///< place in the library's list
  std::string engine;
  std::string state;            ///< "ready", "refused", or "unknown": only a device could tell
  memory::Bytes workspace = 0;  ///< if ready
  std::vector<std::string> notes;
};
/// Equal but for what only one side can know.
bool agree(const PlanRow& a, const PlanRow& b);

/// All plans for one pass of one convolution, in order.
struct PlanPair {
  std::string pass;  ///< what was asked, in words
  std::vector<PlanRow> device, twin;
  bool asked = false;  ///< both sides

  bool equal() const;
};

struct Parity {
  ParitySide device, against;
  std::string title;  ///< of the device
  std::string allocator;
  std::int64_t steps = 3;
  std::vector<ParityResult> points;
  std::int64_t failures = 0;  ///< points that ended in an error, which is why they are skipped
  std::vector<PlanPair> plans;
  std::int64_t plans_left_out = 0;  ///< passes for which there was no time

  /// In bytes, of all points.
  memory::Bytes difference() const;
  std::int64_t compared() const;
};

/// A pass in words that say all that the library is asked.
std::string pass_text(const ConvTrace::Entry& entry);
/// What a device's library says of a pass.
std::vector<PlanRow> plan_rows(const ConvTrace::Entry& entry, const Decisions& decisions);

Json to_json(const Parity& parity);
/// The same as tables.
std::string text(const Parity& parity);

/// The device's side of what --json wrote; the other side is left empty, but for its name. Throws FileError with the
/// place for what is no such file.
Parity read_parity(const std::string& path);
/// Runs the virtual side of what was read again. Throws UsageError where it cannot be run at all.
void check_again(Parity& parity);

}  // namespace mnemo::command
