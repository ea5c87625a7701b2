// mnemo cliffs: where does a smaller size need more memory?
#include "command/cliffs.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/numbers.h"
#include "command/ranges.h"
#include "models/layer.h"

namespace mnemo::command {

namespace {

constexpr std::int64_t kUsualStep = 8;

struct CliffsOptions {
  WorkloadOptions workload = {};
  std::string device = "virtual:h200";
  std::string batch;  ///< empty: the model's own
  std::string size;
  std::string svg;
  bool json = false;
};

std::vector<std::int64_t> read_batches(const CliffsOptions& options, const models::Spec& spec) {
  if (options.batch.empty()) return {spec.batch};
  std::vector<std::int64_t> batches = read_counts("--batch", options.batch);
  std::ranges::sort(batches);
  batches.erase(std::unique(batches.begin(), batches.end()), batches.end());
  return batches;
}

int show(const CliffsOptions& options) {
  check_writable("--svg", options.svg);
  if (options.size.find(':') == std::string::npos)
    throw UsageError(fmt::format("--size: \"{}\" is not a range A:B or A:B:STEP, such as 32:128:8", options.size));
  const std::vector<std::int64_t> sizes = read_range("--size", options.size, kUsualStep);
  const std::vector<std::string> devices = read_virtual_devices(options.device);
  const Workload workload = read_workload(options.workload);
  const Survey found = survey(workload, devices, read_batches(options, workload.spec), sizes);
  if (!options.svg.empty()) write_file(options.svg, svg(found));
  if (options.json)
    print_json(to_json(found));
  else
    print(text(found));
  return fine;
}

}  // namespace

/// `--json` prints {"model", "dtype", "policy", "devices", "skipped"}. A device is {"device", "cudnn", "source",
/// "estimated_workspaces", "rows", "cliffs"}. A row is {"batch", "size", "peak_allocated", "peak_reserved",
/// "estimated_workspaces", "workspaces": [{"module", "direction", "engine", "workspace", "estimated"}]}; where the step
/// does not fit both peaks are null, and "oom" is {"requested", "allocated", "reserved", "phase", "op", "module"}.
/// A cliff, the largest first, is {"batch", "from", "to", "metric", "bytes", "before", "after", "module", "direction",
/// "engine_before", "engine_after", "workspace_before", "workspace_after", "estimated_workspaces"}: the metric,
/// "peak_allocated" or "workspace", rises by `bytes` at every size from `from` down to `to`. For a peak the pass is the
/// one that explains it (null where none does), "category" is what rose most, and with "oom" true the step at `to` does
/// not fit: `after` is the least that it needs. "skipped" has {"batch", "size", "reason"} of what the model does not
/// take.
void add_cliffs(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("cliffs", "Where does a smaller size need more memory?");
  const auto options = std::make_shared<CliffsOptions>();
  options->workload.usual_policy = "heuristic";
  add_workload(*verb, options->workload);
  verb->add_option("--size", options->size, "Edge lengths of the input: A:B or A:B:STEP. (STEP 8)")->required();
  verb->add_option("--batch", options->batch, "Batch sizes, such as 1,4,16.");
  verb->add_option("--device", options->device,
                   "Virtual devices, such as virtual:h200,virtual:t4 or virtual:h200,cudnn=9.19.0. (virtual:h200)");
  verb->add_option("--svg", options->svg, "Also write the curves as a picture to this file.");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options] { action = [options] { return show(*options); }; });
}

}  // namespace mnemo::command
