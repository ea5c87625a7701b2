// Finding the cliffs: runs of sizes along which something rises as the size falls.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <span>

#include "command/cliffs.h"

namespace mnemo::command {

namespace {

using Rows = std::span<const SurveyRow>;

/// Calls `found` with the larger and the smaller row of every longest run, from its larger end downwards, in which
/// `rises(larger, smaller)` holds for all neighbours.
void find_runs(Rows rows, const std::function<bool(const SurveyRow&, const SurveyRow&)>& rises,
               const std::function<void(const SurveyRow&, const SurveyRow&)>& found) {
  for (std::size_t top = rows.size(); top > 1;) {
    std::size_t bottom = top - 1;
    while (bottom > 0 && rises(rows[bottom], rows[bottom - 1])) --bottom;
    if (bottom < top - 1) found(rows[top - 1], rows[bottom]);
    top = bottom < top - 1 ? bottom + 1 : top - 1;
  }
}

/// The pass whose workspace a row had at its peak, or null.
const PlannedPass* pass_at_peak(const SurveyRow& row) {
  const bool oom = row.out_of_memory.has_value();
  const memory::Tag& tag = oom ? row.out_of_memory->tag : row.peak.tag;
  const auto workspace = static_cast<std::size_t>(memory::Category::workspace);
  const memory::Bytes held = oom ? row.out_of_memory->requested : row.peak.categories[workspace];
  const PlannedPass* best = nullptr;
  if (held == 0) return best;
  for (const PlannedPass& pass : row.passes) {
    const bool forward = tag.phase == memory::Phase::forward;
    if (pass.module != tag.module || (pass.pass == ConvPass::forward) != forward || pass.workspace == 0) continue;
    if (best == nullptr || std::abs(pass.workspace - held) <= std::abs(best->workspace - held)) best = &pass;
  }
  return best;
}

/// The same pass at another size: models have the same convolutions at every size.
const PlannedPass* same_pass(const SurveyRow& from, const PlannedPass& pass, const SurveyRow& to) {
  const auto index = static_cast<std::size_t>(&pass - from.passes.data());
  if (index >= to.passes.size()) return nullptr;
  const PlannedPass& other = to.passes[index];
  return other.module == pass.module && other.pass == pass.pass ? &other : nullptr;
}

/// Says why: the pass at the smaller size's peak if its workspace rose by at least half as much, else the category that
/// rose most.
void explain(Cliff& cliff, const SurveyRow& larger, const SurveyRow& smaller) {
  const PlannedPass* after = pass_at_peak(smaller);
  const PlannedPass* before = after == nullptr ? nullptr : same_pass(smaller, *after, larger);
  if (before != nullptr && 2 * (after->workspace - before->workspace) >= cliff.bytes()) {
    cliff.pass_before = before;
    cliff.pass_after = after;
  }
  memory::Bytes most = 0;
  for (std::size_t i = 0; i < smaller.peak.categories.size() && !cliff.out_of_memory; ++i) {
    const memory::Bytes rise = smaller.peak.categories[i] - larger.peak.categories[i];
    if (rise <= most) continue;
    most = rise;
    cliff.category = static_cast<memory::Category>(i);
    cliff.category_before = larger.peak.categories[i];
    cliff.category_after = smaller.peak.categories[i];
  }
}

void find_peaks(Rows rows, std::vector<Cliff>& cliffs) {
  find_runs(
      rows, [](const SurveyRow& larger, const SurveyRow& smaller) { return surely_needs_more(smaller, larger); },
      [&cliffs](const SurveyRow& larger, const SurveyRow& smaller) {
        Cliff cliff{.batch = larger.batch,
                    .from = larger.size,
                    .to = smaller.size,
                    .metric = Cliff::Metric::peak_allocated,
                    .before = larger.needed(),
                    .after = smaller.needed(),
                    .estimated = larger.estimated() + smaller.estimated(),
                    .out_of_memory = smaller.out_of_memory.has_value()};
        explain(cliff, larger, smaller);
        cliffs.push_back(cliff);
      });
}

void find_workspaces(Rows rows, std::size_t index, std::vector<Cliff>& cliffs) {
  const auto rises = [index](const SurveyRow& larger, const SurveyRow& smaller) {
    const PlannedPass& after = smaller.passes[index];
    const PlannedPass* before = same_pass(smaller, after, larger);
    // Nothing can be said of what is only estimated.
    return before != nullptr && !before->estimated && !after.estimated && after.workspace > before->workspace;
  };
  find_runs(rows, rises, [&](const SurveyRow& larger, const SurveyRow& smaller) {
    const PlannedPass &before = larger.passes[index], &after = smaller.passes[index];
    cliffs.push_back({.batch = larger.batch,
                      .from = larger.size,
                      .to = smaller.size,
                      .metric = Cliff::Metric::workspace,
                      .before = before.workspace,
                      .after = after.workspace,
                      .pass_before = &before,
                      .pass_after = &after,
                      .category_before = before.workspace,
                      .category_after = after.workspace});
  });
}

}  // namespace

bool surely_needs_more(const SurveyRow& a, const SurveyRow& b) { return !b.out_of_memory && a.needed() > b.needed(); }

std::vector<Cliff> find_cliffs(const std::vector<SurveyRow>& rows) {
  std::vector<Cliff> cliffs;
  for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    while (end < rows.size() && rows[end].batch == rows[begin].batch) ++end;
    const Rows of_batch = Rows(rows).subspan(begin, end - begin);
    find_peaks(of_batch, cliffs);
    std::size_t passes = of_batch.front().passes.size();
    for (const SurveyRow& row : of_batch) passes = std::min(passes, row.passes.size());
    for (std::size_t i = 0; i < passes; ++i) find_workspaces(of_batch, i, cliffs);
  }
  std::ranges::stable_sort(cliffs, std::ranges::greater{}, &Cliff::bytes);
  return cliffs;
}

}  // namespace mnemo::command
