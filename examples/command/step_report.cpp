#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "command/numbers.h"
#include "command/step.h"
#include "command/table.h"

namespace mnemo::command {

namespace {

/// The categories that hold anything, by name.
Json to_json(const memory::CategoryBytes& categories) {
  Json object = Json::object();
  for (int i = 0; i < memory::kCategories; ++i) {
    const memory::Bytes bytes = categories[static_cast<std::size_t>(i)];
    if (bytes > 0) object[memory::name(static_cast<memory::Category>(i))] = bytes;
  }
  return object;
}

Json to_json(const training::StepReport& step, bool timed) {
  const memory::Tag& tag = step.peak.tag;
  Json object{{"loss", std::isfinite(step.loss) ? Json(step.loss) : Json(nullptr)},
              {"before_forward", step.before_forward},
              {"after_forward", step.after_forward},
              {"operations", step.operations},
              {"allocated", step.allocated},
              {"reserved", step.reserved},
              {"peak_allocated", step.peak.allocated},
              {"peak_reserved", step.peak_reserved},
              {"peak",
               {{"phase", memory::name(tag.phase)},
                {"op", tag.op},
                {"module", tag.module},
                {"categories", to_json(step.peak.categories)}}}};
  if (timed && step.seconds > 0) object["seconds"] = step.seconds;
  if (step.host_peak > 0) object["host_peak"] = step.host_peak;
  return object;
}

Json to_json(const OutOfMemory::Details& d) {
  return {{"requested", d.requested},
          {"segment", d.segment},
          {"allocated", d.allocated},
          {"reserved", d.reserved},
          {"capacity", d.capacity},
          {"free", d.free},
          {"largest_free_block", d.largest_free_block},
          {"phase", memory::name(d.tag.phase)},
          {"op", d.tag.op},
          {"module", d.tag.module}};
}

/// What was chosen beside what a step without checkpoints would take; null for what did not fit.
Json to_json(const training::ChosenPlan& checkpoints) {
  const auto run = [](const training::CheckpointTrial& dry) {
    return Json{{"peak_allocated", dry.peak}, {"activations", dry.activations}, {"operations", dry.operations}};
  };
  const auto& [chosen, plain] = checkpoints;
  return {{"plan", chosen.plan ? Json(chosen.plan->text()) : Json(nullptr)},
          {"expected", run(chosen)},
          {"without", plain.fits() ? run(plain) : Json(nullptr)},
          {"extra_operations", chosen.extra(plain)}};
}

/// "checkpoints at batch 8: (0 1) 2, ..."
std::string checkpoint_lines(const StepResult& result) {
  std::string lines;
  for (const StepRun& run : result.runs) {
    if (!run.checkpoints) continue;
    const auto& [chosen, plain] = *run.checkpoints;
    lines += fmt::format("checkpoints at batch {}: {}; {:.1f} % more operations; activations at most {}", run.batch,
                         chosen.plan ? chosen.plan->text() : "none", 100 * chosen.extra(plain),
                         mebibytes(chosen.activations));
    lines += plain.fits() ? fmt::format(" instead of {}, allocated {} instead of {}\n", mebibytes(plain.activations),
                                        mebibytes(chosen.peak), mebibytes(plain.peak))
                          : std::string("; without them it does not fit\n");
  }
  return lines;
}

/// "backward: max_pool2d of layer1.0"
std::string place(const memory::Tag& tag) {
  return fmt::format("{}: {}{}{}", memory::name(tag.phase), tag.op, *tag.module ? " of " : "", tag.module);
}

std::string steps_table(const StepResult& result) {
  Table table({{"batch"},
               {"size"},
               {"step"},
               {"loss"},
               {"allocated"},
               {"reserved"},
               {"peak allocated"},
               {"peak reserved"},
               {"peak reached in", Table::Align::left}});
  std::int64_t number = 0;  // counted through, as the ledger does
  for (const StepRun& run : result.runs) {
    for (const training::StepReport& step : run.steps) {
      table.add({grouped(run.batch), size_text(result.workload->spec, run.size), grouped(++number),
                 std::isfinite(step.loss) ? fmt::format("{:.4f}", step.loss) : "-", mebibytes(step.allocated),
                 mebibytes(step.reserved), mebibytes(step.peak.allocated), mebibytes(step.peak_reserved),
                 place(step.peak.tag)});
    }
  }
  return number == 0 ? "no step was finished\n" : table.text();
}

/// An optimizer's state is made when it first updates: a single step has its peak before that.
std::string first_step_note(const StepResult& result) {
  using training::Rule;
  const training::TrainerOptions& training = result.training;
  const bool has_state = training.rule == Rule::adam || training.rule == Rule::adam8bit || training.master_weights;
  if (!has_state || result.runs.empty() || result.runs.front().steps.size() != 1) return {};
  return fmt::format(
      "{} makes its state at the end of the first step: later steps begin with it and may peak higher, as --steps 2 "
      "shows\n",
      name(training.rule));
}

/// What held the bytes at the peak of the last step of each batch size: a line per category.
std::string peak_table(const StepResult& result) {
  std::vector<Table::Column> columns{{"at the peak", Table::Align::left}};
  memory::CategoryBytes seen{};
  std::vector<const training::StepReport*> last;
  for (const StepRun& run : result.runs) {
    if (run.steps.empty()) continue;
    last.push_back(&run.steps.back());
    columns.push_back({fmt::format("batch {}", run.batch)});
    for (std::size_t i = 0; i < seen.size(); ++i) seen[i] += last.back()->peak.categories[i];
  }
  if (last.empty()) return {};
  Table table(columns);
  const auto add = [&](const char* name, auto bytes_of) {
    std::vector<std::string> cells{name};
    for (const training::StepReport* step : last) cells.push_back(mebibytes(bytes_of(*step)));
    table.add(std::move(cells));
  };
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i] == 0) continue;
    add(memory::name(static_cast<memory::Category>(i)),
        [i](const training::StepReport& step) { return step.peak.categories[i]; });
  }
  add("together", [](const training::StepReport& step) { return step.peak.allocated; });
  return '\n' + table.text();
}

}  // namespace

Json to_json(const StepResult& result) {
  Json runs = Json::array();
  for (const StepRun& run : result.runs) {
    Json steps = Json::array();
    for (const training::StepReport& step : run.steps) steps.push_back(to_json(step, result.timed));
    runs.push_back({{"batch", run.batch}, {"size", run.size}, {"steps", std::move(steps)}});
    if (run.size == 0) runs.back()["extents"] = result.workload->spec.extents;
    if (run.checkpoints) runs.back()["checkpoints"] = to_json(*run.checkpoints);
  }
  Json object{{"device", result.device},
              {"decisions", result.decisions},
              {"model", result.workload->spec.name},
              {"dtype", name(result.workload->dtype)},
              {"policy", policy_text(result.workload->policy)},
              {"parameters", result.parameters},
              {"runs", std::move(runs)},
              {"segments", result.statistics.segment.all.current},
              {"retries", result.statistics.num_alloc_retries},
              {"ooms", result.statistics.num_ooms},
              {"estimated_workspaces", result.estimated_workspaces}};
  if (!result.weights.empty()) object["weights"] = result.weights;
  if (!result.data.empty()) object["data"] = {{"file", result.data}, {"samples", result.samples}};
  if (!result.saved_weights.empty()) object["saved_weights"] = result.saved_weights;
  if (result.training.amp) object["amp"] = name(*result.training.amp);
  if (result.training.accumulate > 1) object["accumulate"] = result.training.accumulate;
  if (result.training.master_weights) object["master_weights"] = true;
  if (result.training.in_place) object["in_place"] = true;
  if (result.training.offload) object["offload"] = true;
  if (!result.training.workspace.empty()) object["workspace"] = result.training.workspace.by_path();
  if (result.training.step_in_backward) object["optimizer_in_backward"] = true;
  if (result.out_of_memory) {
    object["oom"] = to_json(result.out_of_memory->details());
    object["oom"]["changes"] = result.changes;
  }
  return object;
}

std::string text(const StepResult& result) {
  std::string text =
      fmt::format("{} on {}: {} {} parameters, {}; sizes in MiB\n", result.workload->spec.name, result.device,
                  grouped(result.parameters), name(result.workload->dtype), training::describe(result.training));
  if (!result.decisions.empty())
    text += fmt::format("convolutions: {}, policy {}\n", result.decisions, policy_text(result.workload->policy));
  if (!result.weights.empty()) text += fmt::format("weights: from {}\n", result.weights);
  if (!result.data.empty())
    text += fmt::format("data: {}, its {} samples in order, again and again\n", result.data, grouped(result.samples));
  text += checkpoint_lines(result);
  text += '\n' + steps_table(result) + peak_table(result);
  if (result.training.offload) {
    memory::Bytes most = 0;
    for (const StepRun& run : result.runs) {
      for (const training::StepReport& step : run.steps) most = std::max(most, step.host_peak);
    }
    text += fmt::format("\non the host, at most: {}\n", mebibytes(most));
  }
  text += fmt::format("\nsegments {}, retries {}, out of memory {}\n", result.statistics.segment.all.current,
                      result.statistics.num_alloc_retries, result.statistics.num_ooms);
  text += first_step_note(result);
  if (!result.saved_weights.empty()) text += fmt::format("weights: saved to {}\n", result.saved_weights);
  if (result.estimated_workspaces > 0) {
    text += fmt::format("workspace estimated: {} convolution passes were taken to need none on this card\n",
                        grouped(result.estimated_workspaces));
  }
  return text;
}

}  // namespace mnemo::command
