// Training by plans of checkpoints: the same losses in less memory, budgets that are kept, and what the command says.
#include <doctest/doctest.h>

#include <algorithm>

#include "models/registry.h"
#include "program.h"
#include "training/checkpointing.h"

using namespace mnemo;
using training::CheckpointRequest;
using json = nlohmann::json;

namespace {

training::RunPlan run_of(const char* model, std::int64_t batch, std::int64_t size, const char* device) {
  return {.spec = *models::find_spec(model), .batch = batch, .size = size, .device = Device::open(device)};
}

/// Losses of three steps: the later ones tell of every gradient.
std::vector<double> losses(const training::RunPlan& run, const std::optional<CheckpointPlan>& plan,
                           memory::Bytes& peak) {
  const Device device = Device::open("cpu");
  const DeviceScope scope(device);
  manual_seed(1);
  training::Trainer trainer(run.spec, training::Rule::sgd);
  trainer.checkpoint(plan);
  std::vector<double> list;
  peak = 0;
  for (int step = 0; step < 3; ++step) {
    const training::StepReport report = trainer.step(run.batch, run.size);
    list.push_back(report.loss);
    peak = std::max(peak, report.peak.allocated);
  }
  return list;
}

/// Of both steps.
memory::Bytes highest(const nlohmann::json& run) {
  return std::max(run["steps"][0]["peak_allocated"].get<memory::Bytes>(),
                  run["steps"][1]["peak_allocated"].get<memory::Bytes>());
}

}  // namespace

TEST_CASE("models train by their stages and by plans as by their own forward, bit for bit") {
  for (const auto& [model, batch, size] : {std::tuple("resnet18", 2, 48), std::tuple("unet3d", 1, 16)}) {
    const std::string name = model;
    CAPTURE(name);
    const training::RunPlan run = run_of(model, batch, size, "cpu");
    const training::CheckpointStudy study(run);
    REQUIRE(study.stages() > 10);
    memory::Bytes plain_peak = 0, peak = 0;
    const std::vector<double> plain = losses(run, std::nullopt, plain_peak);
    CHECK(losses(run, no_checkpoints(study.stages()), peak) == plain);
    CHECK(losses(run, even_segments(study.stages(), 4), peak) == plain);
    const auto planned = study.within_extra(CheckpointRequest::kUsualExtra);
    REQUIRE(planned.has_value());
    CHECK(losses(run, planned->plan, peak) == plain);
    CHECK(peak < plain_peak);
    CHECK(peak == planned->peak);  // the dry run knew it to the byte
    CHECK(plain_peak == study.plain().peak);
  }
}

TEST_CASE("a budget is kept to the byte, by fewer operations the larger it is") {
  const training::RunPlan run = run_of("resnet18", 8, 224, "virtual:cpu");
  const training::CheckpointStudy study(run);
  std::int64_t before = INT64_MAX;
  for (const double part : {0.76, 0.8, 0.9, 1.0}) {
    const auto budget = static_cast<memory::Bytes>(part * static_cast<double>(study.plain().peak));
    const auto found = study.within_budget(budget);
    REQUIRE(found.has_value());
    CHECK(found->peak <= budget);
    CHECK(found->operations <= before);
    before = found->operations;
  }
  CHECK(before == study.plain().operations);
  CHECK(study.square_root().operations > study.plain().operations);
}

TEST_CASE("mnemo step --checkpoint: expected and measured agree") {
  const auto step = object_of("step resnet18 --device virtual:cpu --steps 2 --checkpoint plan:190MiB");
  const auto& run = step["runs"][0];
  const auto& checkpoints = run["checkpoints"];
  CHECK(checkpoints["expected"]["peak_allocated"] <= 190 << 20);
  CHECK(highest(run) == checkpoints["expected"]["peak_allocated"]);
  CHECK(run["steps"][1]["operations"] == checkpoints["expected"]["operations"]);
  CHECK(checkpoints["without"]["peak_allocated"] > 190 << 20);
  CHECK(checkpoints["extra_operations"].get<double>() < 0.16);
  const auto plain = object_of("step resnet18 --device virtual:cpu --steps 2");
  CHECK(highest(plain["runs"][0]) == checkpoints["without"]["peak_allocated"]);
  CHECK_FALSE(plain["runs"][0].contains("checkpoints"));
  const Answer text = mnemo_command("step unet3d --device virtual:cpu --checkpoint 4");
  CHECK(text.code == 0);
  CHECK(text.out.find("checkpoints at batch 2: (0 1 2 3 4 5) (6 7 8 9 10 11)") != std::string::npos);
}

TEST_CASE("what cannot be planned is refused with the reason") {
  const auto refused = [](const char* arguments, const char* reason) {
    const Answer answer = mnemo_command(std::string("step unet3d --device virtual:cpu ") + arguments);
    CHECK(answer.code == 2);
    CAPTURE(answer.err);
    CHECK(answer.err.find(reason) != std::string::npos);
  };
  refused("--checkpoint plan:1MiB", "the least is");
  refused("--checkpoint some", "\"some\" is none of these");
  refused("--checkpoint 0", "is none of these");
  refused("--checkpoint 1000", "1 to 23 segments");
  refused("--checkpoint auto --no-grad", "nothing for backward");
}

TEST_CASE("the checkpoint lab's predictions hold, and resnet50 trains with a third of the activations") {
  const auto lab = object_of("lab checkpoint");
  CHECK(lab["agrees"] == true);
  REQUIRE(lab["rows"].size() == 4);
  for (const auto& row : lab["rows"]) {
    const auto& measured = row["measured"];
    CHECK(measured["planned: activations at most"] < measured["sqrt(n) segments: activations at most"]);
    CHECK(measured["planned: activations at most"] >= measured["one operation's operands and result"]);
  }
  CHECK(lab["rows"][2]["verdict"] == "true");
}

TEST_CASE("explain and diff take checkpoints, and mean the run that step makes") {
  const std::string options = " --batch 4 --size 64 --optimizer adam --device virtual:h200 --steps 2";
  const std::string run = "resnet18" + options;
  const json diff = object_of("diff resnet18 'resnet18 --checkpoint 4'" + options);
  const json& peak = diff["metrics"]["peak_allocated"];
  std::int64_t sum = 0;
  for (const json& cause : peak["causes"]) sum += cause["bytes"].get<std::int64_t>();
  CHECK(sum == peak["b"].get<std::int64_t>() - peak["a"].get<std::int64_t>());
  CHECK(peak["b"] < peak["a"]);
  for (const std::string checkpoint : {"none", "4"}) {
    const json steps = object_of("step " + run + " --checkpoint " + checkpoint)["runs"][0]["steps"];
    std::int64_t most = 0;
    for (const json& step : steps) most = std::max(most, step["peak_allocated"].get<std::int64_t>());
    CHECK(object_of("explain " + run + " --checkpoint " + checkpoint)["peak_allocated"] == most);
    CHECK(peak[checkpoint == "4" ? "b" : "a"] == most);
  }
}

TEST_CASE("fit with checkpoints: larger batches fit") {
  const std::string fit = "fit resnet18 --size 64 --device virtual:a100-40gb --memory 800MiB --optimizer adam ";
  CHECK(object_of(fit + "--checkpoint 4")["largest_batch"] > object_of(fit)["largest_batch"]);
  CHECK(mnemo_command(fit + "--checkpoint auto").code == 2);
}
