// What `mnemo cliffs` finds out: for every device, batch and size the workspaces and the training step's peak, and the
// places where a smaller size needs more of either.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "command/output.h"
#include "command/workload.h"
#include "models/conv_passes.h"
#include "training/trainer.h"

namespace mnemo::command {

/// One pass of one convolution, and how a device computes it.
struct PlannedPass {
  std::string module;
  ConvPass pass = ConvPass::forward;
  std::string engine;  ///< with its knobs, or mnemo's own algorithm; "split: ENGINE" where it is computed in pieces
  memory::Bytes workspace = 0;
  bool estimated = false;
};

/// One batch and size on one device. The peak is that of the second step of a new device, when the cache is warm.
struct SurveyRow {
  std::int64_t batch = 0, size = 0;
  std::vector<PlannedPass> passes = {};  ///< those of a lone layer: forward, data gradient, weight gradient
  memory::Peak peak = {};
  memory::Bytes peak_reserved = 0;
  memory::Bytes allocated = 0;                             ///< after the step
  std::optional<OutOfMemory::Details> out_of_memory = {};  ///< then there is no peak

  /// The most that was allocated at once; out of memory: at least that.
  memory::Bytes needed() const;
  /// The pass with the largest workspace, or null where there is no convolution.
  const PlannedPass* largest() const;
  std::int64_t estimated() const;
};

/// From a larger size down to a smaller one, through all sizes between them, something rises.
struct Cliff {
  enum class Metric : std::uint8_t { peak_allocated, workspace };

  std::int64_t batch = 0, from = 0, to = 0;  ///< from > to
  Metric metric = Metric::workspace;
  memory::Bytes before = 0, after = 0;  ///< of the metric, at `from` and at `to`
  /// The pass that it is about; of a peak the one that explains it, or null where something else does.
  const PlannedPass* pass_before = nullptr;
  const PlannedPass* pass_after = nullptr;
  /// Peak: the category that rose most.
  memory::Category category = memory::Category::workspace;
  memory::Bytes category_before = 0, category_after = 0;
  std::int64_t estimated = 0;  ///< how many of the workspaces at both sizes are not known for sure
  bool out_of_memory = false;  ///< `to` does not fit at all: `after` is a lower bound

  memory::Bytes bytes() const { return after - before; }
};

struct DeviceSurvey {
  std::string device, cudnn, source;
  memory::Bytes capacity = 0;   ///< 0: unlimited
  std::vector<SurveyRow> rows;  ///< by batch, then by size, the smallest first
  std::vector<Cliff> cliffs;    ///< the largest first; they point into `rows`

  std::int64_t estimated() const;
  std::int64_t passes() const;
};

/// A batch and size that the model does not take.
struct SkippedSize {
  std::int64_t batch = 0, size = 0;
  std::string reason;
};

struct Survey {
  const Workload* workload = nullptr;
  std::vector<std::int64_t> batches, sizes;
  bool lone_layer = false;
  std::vector<DeviceSurvey> devices;
  std::vector<SkippedSize> skipped;
};

/// Runs everything, and finds the cliffs along the sizes; `record` is a folder for a recording of each point of a single
/// device, or empty. Throws UsageError if the model takes none of the sizes.
Survey survey(const Workload& workload, const std::vector<std::string>& devices,
              const std::vector<std::int64_t>& batches, const std::vector<std::int64_t>& sizes,
              training::Rule rule = training::Rule::sgd, const std::string& record = {});
/// The cliffs of rows that are sorted as in DeviceSurvey.
std::vector<Cliff> find_cliffs(const std::vector<SurveyRow>& rows);
/// Whether `a` needs more than `b`, as far as is known: what does not fit needs at least what it asked for.
bool surely_needs_more(const SurveyRow& a, const SurveyRow& b);

/// "conv weight gradient eng34 needs 237.25 MiB instead of 44.75 MiB", or which category rose; "" if nothing did.
std::string cause(const Cliff& cliff);

std::string text(const Survey& survey);
/// The object of --json; see add_cliffs.
Json to_json(const Survey& survey);
/// Curves of the peak and of the workspaces.
std::string svg(const Survey& survey);

/// "eng34" of "eng34_k2=1".
std::string short_engine(const std::string& engine);

}  // namespace mnemo::command
