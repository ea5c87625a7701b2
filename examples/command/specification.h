// What explain and diff are about: the file of a recording, or a model with the
// options of a run, in one text such as "resnet18 --batch 8", which is then run
// under a recorder.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "command/training_options.h"
#include "command/workload.h"
#include "training/recorded_run.h"

namespace mnemo::command {

/// The options of a run as they were written.
struct RunOptions {
  WorkloadOptions workload = {};
  std::string device = "virtual:h200";
  std::string batch, size;  ///< empty: the model's own
  TrainingOptions training = {};
  std::string steps = "2";
  std::string allocator;
  bool has_allocator = false;
  std::string seed = "0";
  std::string record;  ///< a file for the recording, or empty
};

/// Adds all options of a run to `verb`, without MODEL.
void add_run_options(CLI::App& verb, RunOptions& options);
/// What was given of them on the command line, as words.
std::vector<std::string> given_options(const CLI::App& verb);
/// The same for one of two runs: of "--batch=8,7" the first takes "--batch=8".
/// Throws UsageError for more than two.
std::vector<std::string> side_of(const std::vector<std::string>& options, int side);

/// A recording with a name for people: a file, or the model with the options
/// that were given.
struct Subject {
  std::string name;
  memory::Recording recording;
  std::optional<OutOfMemory> out_of_memory = {};
  std::int64_t estimated_workspaces = 0;
  std::optional<training::RunPlan> run = {};  ///< how it was made; nothing of a file
};

/// Throws UsageError where the options of several runs name the same file for their recordings, OutputError where one
/// cannot be written.
void check_records(const std::vector<std::vector<std::string>>& options);
/// Whether `text` names a model or a layer; else it can only be a file.
bool names_model(const std::string& text);
/// Reads the file `text`, or runs the model that it names; its own options go
/// before `common` ones. Throws UsageError, ConfigError, DeviceError, FileError
/// or OutputError.
Subject read_subject(const std::string& text, const std::vector<std::string>& common);

}  // namespace mnemo::command
