#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "command/cliffs.h"
#include "command/numbers.h"
#include "command/table.h"

namespace mnemo::command {

namespace {

/// Of workspaces alone a deep model has hundreds.
constexpr std::size_t kShownCliffs = 12;

constexpr Table::Align left = Table::Align::left;

std::string direction_of(const PlannedPass& pass) {
  std::string words = name(pass.pass);
  std::ranges::replace(words, '_', ' ');
  return words;
}

/// The row of the size before this one in the same batch, or null.
const SurveyRow* smaller_row(const std::vector<SurveyRow>& rows, std::size_t i) {
  return i > 0 && rows[i - 1].batch == rows[i].batch ? &rows[i - 1] : nullptr;
}

/// Whether some larger size of the same batch needs less.
bool is_above_a_larger(const std::vector<SurveyRow>& rows, std::size_t i,
                       const std::function<bool(const SurveyRow& here, const SurveyRow& larger)>& is_more) {
  for (std::size_t k = i + 1; k < rows.size() && rows[k].batch == rows[i].batch; ++k) {
    if (is_more(rows[i], rows[k])) return true;
  }
  return false;
}

std::string marked(memory::Bytes bytes, bool estimated, bool more) {
  return fmt::format("{}{}{}", mebibytes(bytes), estimated ? "?" : " ", more ? "^" : " ");
}

/// Nothing can be said of what is only estimated.
bool surely_larger(const PlannedPass& a, const PlannedPass& b) {
  return !a.estimated && !b.estimated && a.workspace > b.workspace;
}

std::vector<std::string> pass_cells(const std::vector<SurveyRow>& rows, std::size_t i, std::size_t index) {
  const PlannedPass& pass = rows[i].passes[index];
  const SurveyRow* below = smaller_row(rows, i);
  const bool changed = below != nullptr && short_engine(below->passes[index].engine) != short_engine(pass.engine);
  const bool more = is_above_a_larger(rows, i, [index](const SurveyRow& here, const SurveyRow& larger) {
    return surely_larger(here.passes[index], larger.passes[index]);
  });
  return {marked(pass.workspace, pass.estimated, more), short_engine(pass.engine) + (changed ? " *" : "")};
}

std::vector<std::string> largest_cells(const std::vector<SurveyRow>& rows, std::size_t i) {
  const PlannedPass* pass = rows[i].largest();
  if (pass == nullptr) return {"-", "", "", "", ""};
  const bool more = is_above_a_larger(rows, i, [](const SurveyRow& here, const SurveyRow& larger) {
    return larger.largest() != nullptr && surely_larger(*here.largest(), *larger.largest());
  });
  const SurveyRow* below = smaller_row(rows, i);
  std::size_t changes = 0;
  for (std::size_t k = 0; below != nullptr && k < std::min(below->passes.size(), rows[i].passes.size()); ++k)
    changes += short_engine(below->passes[k].engine) != short_engine(rows[i].passes[k].engine) ? 1 : 0;
  return {marked(pass->workspace, pass->estimated, more), pass->module, direction_of(*pass), short_engine(pass->engine),
          below == nullptr ? "" : fmt::format("{} of {}", changes, rows[i].passes.size())};
}

void add_peak_cells(std::vector<std::string>& cells, const std::vector<SurveyRow>& rows, std::size_t i) {
  const SurveyRow& row = rows[i];
  const bool more = is_above_a_larger(rows, i, surely_needs_more);
  if (row.out_of_memory) {
    const OutOfMemory::Details& oom = *row.out_of_memory;
    cells.push_back(std::string("out of memory") + (more ? " ^" : "  "));
    cells.push_back(mebibytes(oom.reserved));
    cells.push_back(fmt::format("asked for {} with {} allocated{}{}", memory::format_bytes(oom.requested),
                                memory::format_bytes(oom.allocated), *oom.tag.module ? " in " : "", oom.tag.module));
    return;
  }
  cells.push_back(marked(row.peak.allocated, false, more));
  cells.push_back(mebibytes(row.peak_reserved));
  const memory::Tag& tag = row.peak.tag;
  cells.push_back(fmt::format("{}{}{}", memory::name(tag.phase), *tag.module ? " of " : "", tag.module));
}

std::string table_text(const DeviceSurvey& device, bool lone_layer) {
  std::vector<Table::Column> columns{{"batch"}, {"size"}};
  if (lone_layer) {
    for (const PlannedPass& pass : device.rows.front().passes) {
      columns.push_back({direction_of(pass) + "  "});
      columns.push_back({"engine", left});
    }
  } else {
    for (const Table::Column& column : {Table::Column{"largest workspace  "},
                                        {"module", left},
                                        {"direction", left},
                                        {"engine", left},
                                        {"engines changed"}})
      columns.push_back(column);
  }
  for (const Table::Column& column : {Table::Column{"peak allocated  "}, {"peak reserved"}, {"peak in", left}})
    columns.push_back(column);
  Table table(columns);
  for (std::size_t i = 0; i < device.rows.size(); ++i) {
    const SurveyRow& row = device.rows[i];
    std::vector<std::string> cells{grouped(row.batch), grouped(row.size)};
    const auto add = [&cells](std::vector<std::string> more) { cells.insert(cells.end(), more.begin(), more.end()); };
    if (lone_layer) {
      for (std::size_t k = 0; k < row.passes.size(); ++k) add(pass_cells(device.rows, i, k));
    } else {
      add(largest_cells(device.rows, i));
    }
    add_peak_cells(cells, device.rows, i);
    table.add(std::move(cells));
  }
  return table.text();
}

/// "eng34 needs 237.2 MiB instead of eng48's 45.1 MiB"
std::string engines(const Cliff& cliff) {
  const PlannedPass &before = *cliff.pass_before, &after = *cliff.pass_after;
  const std::string needs = memory::format_bytes(after.workspace), needed = memory::format_bytes(before.workspace);
  if (before.engine == after.engine) return fmt::format("{} needs {} instead of {}", after.engine, needs, needed);
  const bool knobs = short_engine(before.engine) == short_engine(after.engine);
  return fmt::format("{} needs {} instead of {}'s {}", knobs ? after.engine : short_engine(after.engine), needs,
                     knobs ? before.engine : short_engine(before.engine), needed);
}

std::string estimated_note(const Cliff& cliff) {
  return cliff.estimated == 0 ? "" : fmt::format(" ({} workspaces at these sizes are estimated)", cliff.estimated);
}

/// "from 64 down to 48", after the batch where there are several.
std::string place(const Cliff& cliff, bool batches) {
  return fmt::format("{}from {} down to {}", batches ? fmt::format("batch {}, ", cliff.batch) : "", cliff.from,
                     cliff.to);
}

std::string peak_sentence(const Cliff& cliff, bool batches) {
  const std::string why = cause(cliff);
  if (cliff.out_of_memory) {
    return fmt::format("{} the step no longer fits: it needs at least {} instead of {}{}", place(cliff, batches),
                       memory::format_bytes(cliff.after), memory::format_bytes(cliff.before),
                       cliff.pass_after == nullptr ? "" : ": " + why);
  }
  return fmt::format("{} the step's peak rises by {}, from {} to {}{}{}", place(cliff, batches),
                     memory::format_bytes(cliff.bytes()), memory::format_bytes(cliff.before),
                     memory::format_bytes(cliff.after), cliff.pass_after == nullptr ? "; " : ": ", why);
}

std::string workspace_sentence(const Cliff& cliff, std::size_t others, bool batches) {
  const std::string more = others == 0 ? "" : fmt::format(" (and {} more like it)", others);
  return fmt::format("{} the workspace of {} {} rises by {}: {}{}", place(cliff, batches), cliff.pass_after->module,
                     direction_of(*cliff.pass_after), memory::format_bytes(cliff.bytes()), engines(cliff), more);
}

/// Whether two layers of the same shape have the same cliff.
bool is_alike(const Cliff& a, const Cliff& b) {
  return a.metric == b.metric && a.batch == b.batch && a.from == b.from && a.to == b.to && a.before == b.before &&
         a.after == b.after && a.pass_after->pass == b.pass_after->pass &&
         a.pass_after->engine == b.pass_after->engine && a.pass_before->engine == b.pass_before->engine;
}

/// Workspace cliffs, those that are alike once each, with the number of the others.
std::vector<std::pair<const Cliff*, std::size_t>> grouped_workspaces(const std::vector<Cliff>& cliffs) {
  std::vector<std::pair<const Cliff*, std::size_t>> groups;
  for (const Cliff& cliff : cliffs) {
    if (cliff.metric != Cliff::Metric::workspace) continue;
    const auto known = std::ranges::find_if(groups, [&](const auto& group) { return is_alike(*group.first, cliff); });
    if (known != groups.end())
      ++known->second;
    else
      groups.emplace_back(&cliff, 0);
  }
  return groups;
}

std::string cliffs_text(const DeviceSurvey& device, const std::string& range, bool batches) {
  std::string peaks, workspaces;
  for (const Cliff& cliff : device.cliffs) {
    if (cliff.metric == Cliff::Metric::peak_allocated)
      peaks += "  " + peak_sentence(cliff, batches) + estimated_note(cliff) + '\n';
  }
  const auto groups = grouped_workspaces(device.cliffs);
  for (std::size_t i = 0; i < std::min(groups.size(), kShownCliffs); ++i)
    workspaces += "  " + workspace_sentence(*groups[i].first, groups[i].second, batches) + '\n';
  if (groups.size() > kShownCliffs)
    workspaces += fmt::format("  {} more, smaller; --json has them all\n", groups.size() - kShownCliffs);
  std::string text = "cliffs of the step's peak\n";
  text += peaks.empty() ? fmt::format("  none: no smaller size {} makes the whole step need more\n", range) : peaks;
  text += "cliffs of workspaces\n";
  if (device.rows.front().passes.empty()) return text + "  none: the model has no convolution\n";
  text += workspaces.empty() ? fmt::format("  none: no smaller size {} makes a workspace larger\n", range) : workspaces;
  return text;
}

}  // namespace

std::string cause(const Cliff& cliff) {
  if (cliff.pass_after != nullptr)
    return fmt::format("{} {} {}", cliff.pass_after->module, direction_of(*cliff.pass_after), engines(cliff));
  return fmt::format("what rises most is the category {}, from {} to {}", memory::name(cliff.category),
                     memory::format_bytes(cliff.category_before), memory::format_bytes(cliff.category_after));
}

std::string short_engine(const std::string& engine) { return engine.substr(0, engine.find('_')); }

std::string text(const Survey& survey) {
  const Workload& workload = *survey.workload;
  const std::string range = fmt::format("from {} to {}", survey.sizes.front(), survey.sizes.back());
  std::string text = fmt::format("{}, {}, policy {}: workspaces and the peaks of a training step, in MiB\n",
                                 workload.spec.name, name(workload.dtype), policy_text(workload.policy));
  for (const DeviceSurvey& device : survey.devices) {
    text += fmt::format("\n{}: {}{}\n{}", device.device, device.cudnn.empty() ? "" : "decisions of ", device.source,
                        table_text(device, survey.lone_layer));
    if (device.estimated() > 0)
      text += fmt::format("workspace estimated: {} of {} passes, marked ?\n", grouped(device.estimated()),
                          grouped(device.passes()));
    text += '\n' + cliffs_text(device, range, survey.batches.size() > 1);
  }
  text += "\n^ some larger size needs less";
  text += survey.lone_layer ? "; * another engine than at the next smaller size\n" : "\n";
  for (const SkippedSize& skipped : survey.skipped)
    text += fmt::format("skipped: batch {}, size {}: {}\n", skipped.batch, skipped.size, skipped.reason);
  return text;
}

}  // namespace mnemo::command
