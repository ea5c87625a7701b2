// mnemo sweep: a training step's memory over batch sizes and resolutions.
#include "command/sweep.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/numbers.h"
#include "command/page.h"
#include "command/ranges.h"
#include "command/specification.h"
#include "command/training_options.h"

namespace mnemo::command {

namespace {

struct SweepOptions {
  WorkloadOptions workload = {};
  std::string device = "virtual:h200";
  std::string batch, size;  ///< empty: the model's own
  std::string optimizer = "sgd";
  std::string csv, svg, report;
  std::vector<std::string> given = {};  ///< all of these that are options of one run
  std::string record;                   ///< a folder, or empty
  bool json = false;
};

/// The places where the peak is higher with less, along both axes.
void find_rises(Sweep& sweep) {
  const std::vector<SurveyRow>& rows = sweep.device().rows;
  sweep.by_size = rows;
  for (SurveyRow& row : sweep.by_size) std::swap(row.batch, row.size);
  std::ranges::stable_sort(sweep.by_size, {}, [](const SurveyRow& row) { return std::pair(row.batch, row.size); });
  const auto take = [&sweep](const std::vector<SurveyRow>& along, bool batch) {
    for (const Cliff& cliff : find_cliffs(along)) {
      if (cliff.metric == Cliff::Metric::peak_allocated) sweep.rises.push_back({batch, cliff.batch, cliff});
    }
  };
  take(rows, false);
  take(sweep.by_size, true);
  std::ranges::stable_sort(sweep.rises, std::ranges::greater{}, [](const Rise& rise) { return rise.cliff.bytes(); });
}

int show(const SweepOptions& options) {
  check_outputs({{"--csv", options.csv}, {"--svg", options.svg}, {"--report", options.report}});
  const Workload workload = read_workload(options.workload);
  const std::vector<std::string> devices = read_virtual_devices(options.device);
  if (devices.size() > 1) throw UsageError("--device: a sweep is of one device; mnemo cliffs compares several");
  const models::Spec& spec = workload.spec;
  const auto batches = options.batch.empty() ? std::vector{spec.batch} : read_range("--batch", options.batch, 1);
  const auto sizes = options.size.empty() ? std::vector{spec.size} : read_range("--size", options.size, 8);
  const training::Rule rule = read_rule(options.optimizer);
  Sweep sweep{.survey = writing([&] { return survey(workload, devices, batches, sizes, rule, options.record); }),
              .rule = rule};
  find_rises(sweep);
  if (!options.csv.empty()) write_file(options.csv, csv(sweep));
  if (!options.svg.empty()) write_file(options.svg, svg(sweep));
  if (!options.report.empty()) write_page(options.report, sweep, options.workload.model, options.given);
  if (options.json)
    print_json(to_json(sweep));
  else
    print(text(sweep));
  return fine;
}

}  // namespace

/// `--json` prints {"model", "dtype", "optimizer", "policy", "device", "decisions", "capacity", "rows", "rises",
/// "estimated_workspaces", "skipped"}. A row is {"batch", "size", "allocated" (after the step), "peak_allocated",
/// "peak_reserved", "fits"}, bytes null where the step does not fit. A rise is {"along": "batch"|"size", "fixed",
/// "from", "to", "bytes", "before", "after", "cause"}: the peak rises by `bytes` while that axis falls from `from` to
/// `to` and the other stays at `fixed`.
void add_sweep(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("sweep", "A training step's memory over batch sizes and resolutions.");
  const auto options = std::make_shared<SweepOptions>();
  add_workload(*verb, options->workload);
  verb->add_option("--batch", options->batch, "Batch sizes: A:B or A:B:STEP. (STEP 1)");
  verb->add_option("--size", options->size, "Edge lengths of the input: C:D or C:D:STEP. (STEP 8)");
  verb->add_option("--device", options->device, "A virtual device. (virtual:h200)");
  verb->add_option("--optimizer", options->optimizer, "sgd (without momentum), adam or adam8bit. (sgd)");
  verb->add_option("--csv", options->csv, "Also write the table to this file.");
  verb->add_option("--svg", options->svg, "Also write the curves as a picture to this file.");
  add_page_option(*verb, options->report);
  verb->add_option("--record", options->record,
                   "Also write what happens to memory at each point to this folder, as batch-8-size-224.mnemo.");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, verb] {
    options->given = given_options(*verb);
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
