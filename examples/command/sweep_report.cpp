// A sweep as a table, as CSV and as JSON.
#include <algorithm>

#include <fmt/format.h>

#include "command/numbers.h"
#include "command/sweep.h"
#include "command/table.h"

namespace mnemo::command {

namespace {

/// Whether more of the batch or of the size needs less than this row, with the other as it is here.
bool is_beaten(const Sweep& sweep, const SurveyRow& row) {
  return std::ranges::any_of(sweep.device().rows, [&row](const SurveyRow& other) {
    const bool more =
        (other.batch == row.batch && other.size > row.size) || (other.size == row.size && other.batch > row.batch);
    return more && surely_needs_more(row, other);
  });
}

std::string place(const memory::Tag& tag) {
  return fmt::format("{}{}{}", memory::name(tag.phase), *tag.module ? " of " : "", tag.module);
}

Json to_json(const SurveyRow& row) {
  const bool fits = !row.out_of_memory;
  const auto known = [fits](memory::Bytes bytes) { return fits ? Json(bytes) : Json(nullptr); };
  return {{"batch", row.batch},
          {"size", row.size},
          {"allocated", known(row.allocated)},
          {"peak_allocated", known(row.peak.allocated)},
          {"peak_reserved", known(row.peak_reserved)},
          {"fits", fits}};
}

Json to_json(const Rise& rise) {
  const Cliff& cliff = rise.cliff;
  return {{"along", rise.along_batch ? "batch" : "size"},
          {"fixed", rise.fixed},
          {"from", cliff.from},
          {"to", cliff.to},
          {"bytes", cliff.bytes()},
          {"before", cliff.before},
          {"after", cliff.after},
          {"cause", cliff.out_of_memory ? "out of memory" : cause(cliff)}};
}

}  // namespace

std::string sentence(const Rise& rise, const models::Spec& spec) {
  const Cliff& cliff = rise.cliff;
  const std::string fixed =
      rise.along_batch ? "size " + size_text(spec, rise.fixed) : fmt::format("batch {}", rise.fixed);
  const std::string where =
      fmt::format("{}, {} from {} down to {}", fixed, rise.along_batch ? "batch" : "size", cliff.from, cliff.to);
  if (cliff.out_of_memory)
    return fmt::format("{}: the step no longer fits, it needs at least {} instead of {}", where,
                       memory::format_bytes(cliff.after), memory::format_bytes(cliff.before));
  return fmt::format("{}: the peak rises by {}, from {} to {}; {}", where, memory::format_bytes(cliff.bytes()),
                     memory::format_bytes(cliff.before), memory::format_bytes(cliff.after), cause(cliff));
}

std::string text(const Sweep& sweep) {
  const DeviceSurvey& device = sweep.device();
  const Workload& workload = *sweep.survey.workload;
  Table table({{"batch"},
               {"size"},
               {"allocated"},
               {"peak allocated"},
               {"peak reserved"},
               {"of capacity"},
               {"peak reached in", Table::Align::left}});
  bool marked = false;
  for (const SurveyRow& row : device.rows) {
    if (row.out_of_memory) {
      table.add({grouped(row.batch), size_text(workload.spec, row.size), "-", "-", "-", "-",
                 fmt::format("out of memory: asked for {} in {}", memory::format_bytes(row.out_of_memory->requested),
                             place(row.out_of_memory->tag))});
      continue;
    }
    const bool beaten = is_beaten(sweep, row);
    marked = marked || beaten;
    const double share =
        100 * static_cast<double>(row.peak_reserved) / static_cast<double>(std::max<memory::Bytes>(device.capacity, 1));
    table.add({grouped(row.batch), size_text(workload.spec, row.size), mebibytes(row.allocated),
               mebibytes(row.peak.allocated) + (beaten ? " ^" : "  "), mebibytes(row.peak_reserved),
               device.capacity == 0 ? "" : fmt::format("{:.1f} %", share), place(row.peak.tag)});
  }
  std::string text = fmt::format("{} on {}: {}, {}, policy {}; sizes in MiB\n", workload.spec.name, device.device,
                                 name(workload.dtype), training::name(sweep.rule), policy_text(workload.policy));
  if (device.passes() > 0) text += fmt::format("convolutions: {}\n", device.source);
  text += '\n' + table.text() + '\n';
  if (marked) text += "^ more of the batch or of the size needs less\n\n";
  text += sweep.rises.empty() ? "everywhere more of the batch or of the size needs more, or the same\n"
                              : "where less needs more\n";
  for (const Rise& rise : sweep.rises) text += fmt::format("  {}\n", sentence(rise, workload.spec));
  for (const SkippedSize& skipped : sweep.survey.skipped)
    text += fmt::format("skipped: batch {}, size {}: {}\n", skipped.batch, skipped.size, skipped.reason);
  if (device.estimated() > 0)
    text += fmt::format("workspace estimated: {} of {} convolution passes\n", device.estimated(), device.passes());
  return text;
}

std::string csv(const Sweep& sweep) {
  std::string text = "batch,size,allocated,peak_allocated,peak_reserved,capacity,fits\n";
  for (const SurveyRow& row : sweep.device().rows) {
    const std::string bytes =
        row.out_of_memory ? ",," : fmt::format("{},{},{}", row.allocated, row.peak.allocated, row.peak_reserved);
    const std::string size = row.size > 0 ? fmt::format("{}", row.size) : size_text(sweep.survey.workload->spec, 0);
    text += fmt::format("{},{},{},{},{}\n", row.batch, size, bytes, sweep.device().capacity,
                        row.out_of_memory ? "false" : "true");
  }
  return text;
}

Json to_json(const Sweep& sweep) {
  const DeviceSurvey& device = sweep.device();
  const Workload& workload = *sweep.survey.workload;
  Json rows = Json::array(), rises = Json::array(), skipped = Json::array();
  for (const SurveyRow& row : device.rows) rows.push_back(to_json(row));
  for (const Rise& rise : sweep.rises) rises.push_back(to_json(rise));
  for (const SkippedSize& size : sweep.survey.skipped)
    skipped.push_back({{"batch", size.batch}, {"size", size.size}, {"reason", size.reason}});
  return {{"model", workload.spec.name},
          {"dtype", name(workload.dtype)},
          {"optimizer", training::name(sweep.rule)},
          {"policy", policy_text(workload.policy)},
          {"device", device.device},
          {"decisions", device.source},
          {"capacity", device.capacity},
          {"rows", std::move(rows)},
          {"rises", std::move(rises)},
          {"estimated_workspaces", device.estimated()},
          {"skipped", std::move(skipped)}};
}

}  // namespace mnemo::command
