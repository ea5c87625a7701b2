// What `mnemo sweep` finds out: the memory of a training step for every batch and size, and where less of either needs
// more.
#pragma once

#include <string>
#include <vector>

#include "command/cliffs.h"

namespace mnemo::command {

/// A place where the peak rises while one axis falls and the other stays.
struct Rise {
  bool along_batch = false;
  std::int64_t fixed = 0;  ///< the size, or where the size falls the batch
  Cliff cliff;             ///< from > to on the falling axis
};

struct Sweep {
  Survey survey;  ///< of one device
  training::Rule rule = training::Rule::sgd;
  std::vector<SurveyRow> by_size = {};  ///< the same rows with batch and size exchanged, by size and then by batch
  std::vector<Rise> rises = {};         ///< the largest first; they point into the rows

  const DeviceSurvey& device() const { return survey.devices.front(); }
};

std::string text(const Sweep& sweep);
/// A line of names, then one for each row; sizes in bytes, empty where the step did not fit.
std::string csv(const Sweep& sweep);
/// Curves of allocated and reserved with the capacity, over the batch and over the size.
std::string svg(const Sweep& sweep);
/// Writes the page of the sweep: every point, and what happened in the two runs at the largest rise; where nothing
/// rises in the run with the largest peak. These are made again, from `model` with the options that were `given`.
/// Throws OutputError.
void write_page(const std::string& path, const Sweep& sweep, const std::string& model,
                const std::vector<std::string>& given);
/// "batch 8, size from 64 down to 56: the peak rises by ..., because ..."
std::string sentence(const Rise& rise, const models::Spec& spec);
/// The object of --json; see add_sweep.
Json to_json(const Sweep& sweep);

}  // namespace mnemo::command
