// mnemo plans: for every convolution of a model and each direction, what its device could do and what it takes.
#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "command/numbers.h"
#include "command/output.h"
#include "command/table.h"
#include "command/workload.h"
#include "models/conv_passes.h"

namespace mnemo::command {

namespace {

struct PlansOptions {
  WorkloadOptions workload = {};
  std::string device = "virtual:h200";
  std::string batch, size;  ///< empty: the model's own
  bool summary = false;
  bool json = false;
};

/// One pass of one layer with its answers.
struct Answer {
  models::ConvPassOf of;
  ConvLayout layout;
  std::vector<EnginePlan> plans;               ///< without those that the library refuses
  std::vector<std::optional<double>> seconds;  ///< of each, where the device can run it
  std::string obstacle;
  ConvPlan taken;
  std::optional<EnginePlan> fused;  ///< the kernel that is taken, with bias and relu

  std::string taken_name() const {
    return taken.algorithm == ConvAlgorithm::library ? taken.engine : name(taken.algorithm);
  }
};

std::vector<Answer> ask(const Workload& workload, std::int64_t batch, std::int64_t size, const Decisions& decisions) {
  std::vector<Answer> answers;
  for (models::ConvPassOf& pass : models::conv_passes(workload.spec, workload.dtype, batch, size)) {
    Answer answer{.of = std::move(pass),
                  .layout = decisions.conv_layout(workload.dtype, workload.policy),
                  .plans = {},
                  .seconds = {},
                  .obstacle = {},
                  .taken = {},
                  .fused = {}};
    RankedPlans ranked = decisions.plans(answer.of.problem, answer.of.pass, workload.policy);
    answer.obstacle = ranked.obstacle();
    for (std::size_t i = 0; i < ranked.size(); ++i) {
      if (ranked[i].state != EnginePlan::State::refused) answer.plans.push_back(ranked[i]);
    }
    for (const EnginePlan& plan : answer.plans) {
      const ConvQuery query{answer.of.problem, answer.of.pass, answer.layout};
      const bool runs = plan.state == EnginePlan::State::ready;
      answer.seconds.push_back(runs ? decisions.seconds(query, plan) : std::nullopt);
    }
    answer.taken = decisions.conv(answer.of.problem, answer.of.pass, workload.policy);
    if (answer.of.pass == ConvPass::forward && answer.taken.algorithm == ConvAlgorithm::library) {
      const ConvQuery query{answer.of.problem, answer.of.pass, answer.layout};
      answer.fused = decisions.fused(query, {.bias = true, .relu = true}, answer.taken.engine);
    }
    answers.push_back(std::move(answer));
  }
  return answers;
}

Json to_json(const EnginePlan& plan, std::optional<double> seconds) {
  const bool known = plan.state == EnginePlan::State::ready;
  Json object{{"engine", plan.engine},
              {"workspace", known ? Json(plan.workspace) : Json(nullptr)},
              {"notes", plan.notes.names()},
              {"rank", plan.rank}};
  if (!known) object["reason"] = plan.reason;
  if (seconds) object["seconds"] = *seconds;
  return object;
}

Json to_json(const Answer& answer) {
  const ConvProblem& problem = answer.of.problem;
  Json plans = Json::array();
  for (std::size_t i = 0; i < answer.plans.size(); ++i) plans.push_back(to_json(answer.plans[i], answer.seconds[i]));
  Json object{{"module", answer.of.module},          {"direction", name(answer.of.pass)},
              {"input", input_sizes(problem)},       {"weight", weight_sizes(problem)},
              {"dtype", name(problem.dtype)},        {"layout", name(answer.layout)},
              {"plans", std::move(plans)},           {"taken", answer.taken_name()},
              {"workspace", answer.taken.workspace}, {"estimated", answer.taken.estimated}};
  if (answer.taken.algorithm == ConvAlgorithm::split) {
    object["split"] = {{"axis", answer.taken.axis == ConvPlan::Axis::batch ? "batch" : "depth"},
                       {"step", answer.taken.step}};
  }
  if (answer.plans.empty()) object["obstacle"] = answer.obstacle;
  if (answer.fused) object["with_bias_and_relu"] = to_json(*answer.fused, {});
  return object;
}

/// "split along batch, 3 at a time" or the engine.
std::string taken_text(const Answer& answer) {
  if (answer.taken.algorithm == ConvAlgorithm::split) {
    return fmt::format("split along {}, {} at a time", answer.taken.axis == ConvPlan::Axis::batch ? "batch" : "depth",
                       answer.taken.step);
  }
  return answer.taken_name() + (answer.taken.estimated ? " (workspace estimated)" : "");
}

std::string text(const Answer& answer) {
  const ConvQuery query{answer.of.problem, answer.of.pass, answer.layout};
  std::string text = fmt::format("{}  {}\n", answer.of.module, describe(query));
  if (answer.plans.empty()) text += fmt::format("    no plans: {}\n", answer.obstacle);
  const bool timed = std::ranges::any_of(answer.seconds, [](const auto& seconds) { return seconds.has_value(); });
  Table table({{""},
               {"rank"},
               {"engine", Table::Align::left},
               {"workspace"},
               {timed ? "microseconds" : ""},
               {"notes", Table::Align::left}});
  for (std::size_t i = 0; i < answer.plans.size(); ++i) {
    const EnginePlan& plan = answer.plans[i];
    const bool taken = answer.taken.algorithm == ConvAlgorithm::library && plan.engine == answer.taken.engine;
    const bool known = plan.state == EnginePlan::State::ready;
    table.add({taken ? "->" : "", fmt::format("{}", plan.rank), plan.engine, known ? grouped(plan.workspace) : "?",
               answer.seconds[i] ? fmt::format("{:.1f}", *answer.seconds[i] * 1e6) : "",
               known ? fmt::format("{}", fmt::join(plan.notes.names(), " ")) : plan.reason});
  }
  if (!answer.plans.empty()) text += table.text(2);
  if (answer.taken.algorithm != ConvAlgorithm::library)
    text += fmt::format("    taken: {}, workspace {}\n", taken_text(answer), grouped(answer.taken.workspace));
  if (answer.fused && answer.fused->state == EnginePlan::State::ready)
    text += fmt::format("    with bias and relu in it: {}\n", answer.fused->engine);
  else if (answer.fused)
    text += fmt::format("    bias and relu behind it, in kernels of their own: {}\n", answer.fused->reason);
  return text + '\n';
}

std::string summary(const std::vector<Answer>& answers) {
  Table table({{"module", Table::Align::left},
               {"direction", Table::Align::left},
               {"input", Table::Align::left},
               {"weight", Table::Align::left},
               {"plans"},
               {"taken", Table::Align::left},
               {"workspace"}});
  for (const Answer& answer : answers) {
    table.add({answer.of.module, name(answer.of.pass),
               fmt::format("{}", fmt::join(input_sizes(answer.of.problem), "x")),
               fmt::format("{}", fmt::join(weight_sizes(answer.of.problem), "x")),
               fmt::format("{}", answer.plans.size()), taken_text(answer), grouped(answer.taken.workspace)});
  }
  return table.text();
}

int show(const PlansOptions& options) {
  const Workload workload = read_workload(options.workload);
  const models::Spec& spec = workload.spec;
  const std::int64_t batch = options.batch.empty() ? spec.batch : read_count("--batch", options.batch);
  const std::int64_t size = options.size.empty() ? spec.size : read_count("--size", options.size);
  const Device device = Device::open(options.device, {});
  check_layout(workload, device);
  const Decisions& decisions = device.backend().decisions();
  std::vector<Answer> answers;
  try {
    answers = ask(workload, batch, size, decisions);
  } catch (const ShapeError& error) {
    refuse_shape(error, spec, size);
  }
  std::int64_t estimated = 0;
  for (const Answer& answer : answers) estimated += answer.taken.estimated ? 1 : 0;
  if (options.json) {
    Json layers = Json::array();
    for (const Answer& answer : answers) layers.push_back(to_json(answer));
    print_json({{"device", device.name()},
                {"cudnn", decisions.cudnn()},
                {"source", decisions.source()},
                {"policy", policy_text(workload.policy)},
                {"estimated_workspaces", estimated},
                {"layers", std::move(layers)}});
    return fine;
  }
  std::string page = fmt::format("{} on {}: decisions of {}, policy {}; workspaces in bytes\n\n", spec.name,
                                 device.name(), decisions.source(), policy_text(workload.policy));
  if (!options.summary) {
    for (const Answer& answer : answers) page += text(answer);
  }
  page += answers.empty() ? "the model has no convolution\n" : summary(answers);
  if (estimated > 0) page += fmt::format("\nworkspace estimated: {} of {} passes\n", estimated, answers.size());
  print(page);
  return fine;
}

}  // namespace

void add_plans(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand(
      "plans", "For each convolution and direction: every plan of the card's library in order, and the one taken.");
  const auto options = std::make_shared<PlansOptions>();
  options->workload.usual_policy = "heuristic";
  add_workload(*verb, options->workload);
  verb->add_option("--device", options->device,
                   "Such as virtual:a100-80gb or virtual:h200,cudnn=9.19.0. (virtual:h200)");
  verb->add_option("--batch", options->batch, "Batch size.");
  verb->add_option("--size", options->size, "Edge length of the input.");
  verb->add_flag("--summary", options->summary, "Only the table of what is taken.");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options] { action = [options] { return show(*options); }; });
}

}  // namespace mnemo::command
