// What `mnemo fit` finds out: the batch sizes that fit, or how a batch can be made to fit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "command/output.h"
#include "command/workload.h"
#include "training/fitting.h"

namespace mnemo::command {

/// What it was asked.
struct FitQuestion {
  training::RunPlan run;
  std::string device;
};

std::string text(const FitQuestion& question, const FittingBatches& found);
/// The object of --json without --batch; see add_fit.
Json to_json(const FittingBatches& found);

/// The way that was found, the plain one, and others that fit too.
struct FitAnswer {
  FitTrial chosen, plain;
  std::vector<FitTrial> others = {};
  std::int64_t dry_runs = 0;
};
std::string text(const FitQuestion& question, const FitAnswer& answer);
/// The object of --json with --batch; see add_fit.
Json to_json(const FitQuestion& question, const FitAnswer& answer);

/// "backward: conv2d of layer1.0.conv1 asks for 1.00 GiB of workspace".
std::string reason(const OutOfMemory::Details& details);
/// "+0.012 s per step, +10.7 % operations", as far as it is known.
std::string costs(const FitTrial& trial, const FitTrial& plain);

}  // namespace mnemo::command
