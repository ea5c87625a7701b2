// What fits of a model of the zoo: its training as a program for the searches of mnemo (core/batch_search.h,
// autograd/fit_plan.h), and how to do what they find.
#pragma once

#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "training/recorded_run.h"

namespace mnemo::training {

/// The options of a trainer that does as `choices` say, besides what `options` say already.
TrainerOptions with(const TrainerOptions& options, const FitChoices& choices);

/// Makes the model on the current device and trains it for `run.steps` steps. `run.device` is not used.
void train(const RunPlan& run);
/// The same as `choices` say, and without recovery: the question is whether it fits as it is.
void train(const RunPlan& run, const FitChoices& choices);

/// `run` on the device of that name, with `run.batch` samples per update.
FitRequest fit_request(const RunPlan& run, const std::string& device, std::vector<Technique> allow);

/// What is chosen beyond what `run` does, in a few words each: "bfloat16 autocast", "4 batches of 16 per update".
std::vector<std::string> describe(const RunPlan& run, const FitChoices& choices);
/// The arguments of `mnemo step` that train `run` so on a device, for a shell:
/// "resnet50 --device virtual:h200 --batch 16 --accumulate 4 --steps 2". Recovery is left out: it was tried without.
std::string step_arguments(const RunPlan& run, const std::string& device, const FitChoices& choices);
/// Up to three changes with which `run` fits on a virtual device or on a CPU of that capacity, the cheapest first, each
/// tried by a dry run: "batch 48 fits, 1.20 GiB to spare". None on other devices, and where nothing helps.
std::vector<std::string> changes_that_fit(const RunPlan& run, const std::string& device);

/// The lines of a C++ program that make a training loop do what `run` does and `choices` add to it; empty where they
/// add nothing.
std::string code(const RunPlan& run, const FitChoices& choices);

}  // namespace mnemo::training
