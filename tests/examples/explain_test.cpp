// mnemo explain and diff: JSON whose sums add up, for every pair of runs that people ask about.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <mnemo/mnemo.h>

#include "program.h"
#include "training/recorded_run.h"

using nlohmann::json;

namespace {

std::int64_t sum(const json& list, const char* key) {
  std::int64_t total = 0;
  for (const json& entry : list) total += entry.at(key).get<std::int64_t>();
  return total;
}

void check_difference(const json& object) {
  CHECK(object["answer"].get<std::string>().starts_with("Peak allocated "));
  for (const char* name : {"peak_allocated", "peak_reserved", "device_use"}) {
    const json& metric = object["metrics"][name];
    CAPTURE(name);
    const std::int64_t change = metric["b"].get<std::int64_t>() - metric["a"].get<std::int64_t>();
    CHECK(sum(metric["causes"], "bytes") == change);
    std::int64_t total = 0;
    for (const auto& [cause, bytes] : metric["totals"].items()) total += bytes.get<std::int64_t>();
    CHECK(total == change);
    for (const json& cause : metric["causes"]) {
      CHECK(cause["bytes"] != 0);
      CHECK(cause["cause"] != "");
      CHECK(cause["where"].is_string());
      CHECK(cause["evidence"] != "");
    }
  }
}

void check_explanation(const json& object) {
  const std::int64_t allocated = object["peak_allocated"];
  std::int64_t categories = 0;
  for (const auto& [name, bytes] : object["categories"].items()) categories += bytes.get<std::int64_t>();
  CHECK(categories == allocated);
  CHECK(allocated + object["cached"].get<std::int64_t>() == object["peak_reserved"]);
  CHECK(object["peak_reserved"].get<std::int64_t>() + object["context"].get<std::int64_t>() == object["device_use"]);
  CHECK(sum(object["layers"], "at_peak") == allocated);
  CHECK(sum(object["layers"], "parameters") == object["categories"]["parameter"]);
  CHECK(object["largest"].size() <= 10);
  for (const json& layer : object["layers"]) {
    for (const char* key : {"module", "op", "output", "parameters", "saved", "workspace", "algorithm", "formula"})
      CHECK(layer.contains(key));
  }
}

const json* row(const json& object, const std::string& module, const std::string& op) {
  for (const json& layer : object["layers"]) {
    if (layer["module"] == module && layer["op"] == op) return &layer;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("explain adds up to what the driver shows, and knows each layer") {
  const json object = object_of("explain resnet18 --batch 2 --device virtual:h200");
  check_explanation(object);
  CHECK(object["context"] == 518 << 20);
  CHECK(object["about"]["batch"] == "2");
  const json* conv = row(object, "conv1", "conv2d");
  REQUIRE(conv != nullptr);
  CHECK((*conv)["output"] == "(2, 64, 112, 112)");
  CHECK((*conv)["formula"] == "2*64*112*112*4 B = 6,422,528");
  CHECK((*conv)["measured"] == 6'422'528);
  CHECK((*conv)["parameters"] == 37'888);  // 64*3*7*7*4 B = 37,632 in a block
  CHECK((*conv)["algorithm"] != "");
  const json* norm = row(object, "bn1", "batch_norm");
  REQUIRE(norm != nullptr);
  CHECK((*norm)["saved"] >= 6'422'528);
}

// State in 8 bits was advised to Adam in 8 bits and for copies of half parameters, half precision for what autocast has
// in half, a policy of convolutions for the workspace of products, a step in backward for accumulated gradients, and
// segments that grow where they take more.
TEST_CASE("each advice that explain gives is worth what it says when it is run so") {
  using Words = std::vector<std::string>;
  struct Run {
    std::string arguments;
    Words has, lacks;
  };
  const Words state{"sgd", "adam8bit"};
  const Run runs[] = {
      {"simple-conv --batch 64", {"--in-place", "--offload", "--workspace 0", "--amp"}, state},
      {"simple-conv --batch 64 --device cpu", {"--in-place", "--offload"}, state},
      {"simple-conv --batch 64 --device virtual:16GiB --in-place --offload", {}, {"--in-place", "--offload"}},
      {"simple-conv --no-grad", {}, {"--offload", "--checkpoint", "--optimizer"}},
      {"simple-conv --graph", {}, {"--offload"}},
      {"simple-conv --recover", {"--in-place"}, {"--optimizer-in-backward"}},
      {"mlp --batch 64 --optimizer adam", {"sgd", "adam8bit", "--optimizer-in-backward"}, {}},
      {"mlp --batch 512 --accumulate 2 --optimizer adam8bit",
       {"--optimizer sgd"},
       {"8 bits", "expandable_segments", "--optimizer-in-backward"}},
      {"resnet18 --batch 4 --dtype float16 --master-weights",
       {"--checkpoint"},
       {"sgd", "adam8bit", "--dtype", "--amp"}},
      {"resnet18 --batch 4 --policy zero-workspace", {"expandable_segments"}, {"--workspace"}},
      {"unet3d --batch 1 --checkpoint 2", {"--dtype"}, {"expandable_segments", "--checkpoint"}},
      {"unet3d --batch 1 --amp bf16", {"--checkpoint"}, {"--amp"}},
      {"transformer --amp bf16", {"--offload"}, {"--workspace"}},
  };
  for (const Run& run : runs) {
    CAPTURE(run.arguments);
    const json plain = object_of("explain " + run.arguments);
    std::string actions;
    std::int64_t last = std::numeric_limits<std::int64_t>::max();
    for (const json& one : plain["advice"]) {
      const std::string action = one["action"];
      CAPTURE(action);
      CHECK(one["bytes"] <= last);  // the most effective first
      last = one["bytes"];
      CHECK(one["measured"] == true);
      actions += action + '\n';
      // What stands in brackets at the end, in the place of what was given.
      const std::size_t open = action.rfind("(--");
      REQUIRE(open != std::string::npos);
      std::string options = action.substr(open + 1, action.size() - open - 2);
      if (options.starts_with("--dtype")) options += " --amp no";
      const json so = object_of("explain \"" + run.arguments + ' ' + options + '"');
      const std::string metric = one["metric"];
      CHECK(one["bytes"] == plain[metric].get<std::int64_t>() - so[metric].get<std::int64_t>());
    }
    CAPTURE(actions);
    for (const std::string& word : run.has) CHECK_MESSAGE(actions.find(word) != std::string::npos, word);
    for (const std::string& word : run.lacks) CHECK_MESSAGE(actions.find(word) == std::string::npos, word);
  }
}

TEST_CASE("explain calls what it reads from a recording alone an estimate") {
  const TemporaryFile file("");
  object_of("step mlp --batch 64 --optimizer adam --device virtual:cpu --steps 2 --record " + file.path());
  for (const json& one : object_of("explain " + file.path())["advice"]) CHECK(one["measured"] == false);
  const std::string text = mnemo_command("explain " + file.path()).out;
  // Two moments of 4 bytes for each of the parameters, the most of which are fc1's 256 x 784.
  CHECK(text.find("about -5.11 MiB of allocated: an optimizer without state") != std::string::npos);
  CHECK(mnemo_command("explain mlp").out.find("about") == std::string::npos);
}

TEST_CASE("explain names no driver's tool for a CPU, and knows that it has no context") {
  for (const char* device : {"cpu", "virtual:cpu", "virtual:cpu:64MiB"}) {
    CAPTURE(std::string(device));
    const json object = object_of(std::string("explain mlp --device ") + device);
    CHECK(object["context_known"] == true);
    CHECK(object["context"] == 0);
    const std::string answer = object["answer"];
    CHECK(answer.find("nvidia-smi") == std::string::npos);
    CHECK(answer.ends_with(" are reserved from the device."));
  }
  CHECK(object_of("explain mlp --device virtual:h200")["answer"].get<std::string>().find("nvidia-smi") !=
        std::string::npos);
}

TEST_CASE("explain has the peaks of step, also in half precision and without training") {
  for (const char* options :
       {"--optimizer adam", "--dtype bfloat16", "--no-grad", "--allocator max_split_size_mb:20"}) {
    const std::string arguments = std::string(" resnet18 --batch 2 --steps 2 --device virtual:h200 ") + options;
    CAPTURE(arguments);
    const json object = object_of("explain" + arguments);
    check_explanation(object);
    const json steps = object_of("step" + arguments)["runs"][0]["steps"];
    const auto most = [&](const char* key) {
      return std::max(steps[0][key].get<std::int64_t>(), steps[1][key].get<std::int64_t>());
    };
    CHECK(object["peak_allocated"] == most("peak_allocated"));
    CHECK(object["peak_reserved"] == most("peak_reserved"));
  }
}

TEST_CASE("explain takes files, layers and several at once") {
  using namespace mnemo;
  const TemporaryFile file("");
  {
    const Device device = Device::open("virtual:16GiB");
    const memory::Recorder recorder = memory::record(device.allocator(), file.path(), {.device = device.name()});
    const memory::CategoryScope category(memory::Category::parameter);
    const Array array(Shape{1000}, DType::float32, device);
  }
  const json object = object_of("explain " + file.path());
  check_explanation(object);
  CHECK(object["peak_allocated"] == 4096);
  CHECK(object["rounding"] == 96);
  CHECK(object["context_known"] == false);
  const json several = object_of("explain " + file.path() + " conv2d:3,8,k3@1x3x8x8 \"mlp --batch 3\"");
  REQUIRE(several["explanations"].size() == 3);
  for (const json& one : several["explanations"]) check_explanation(one);
  CHECK(several["explanations"][2]["about"]["batch"] == "3");
  // A recording cannot be changed by options.
  CHECK(mnemo_command("explain " + file.path() + " --batch 3").code == 2);
}

TEST_CASE("the causes of every usual question add up") {
  const std::string model = "diff resnet18 resnet18 --batch 2 --steps 2 --device virtual:h200 ";
  const std::string pairs[] = {
      "diff resnet18 resnet18 --batch 8,7",
      "diff \"resnet18 --batch 8\" \"resnet18 --batch 7\" --device virtual:h200",
      model + "--size 256,248",
      model + "--optimizer adam,sgd",
      model + "--optimizer sgd,adam",
      model + "--dtype float32,bfloat16",
      "diff resnet18 resnet18 --batch 2 --device virtual:h200,virtual:a100-80gb",
      "diff resnet18 resnet18 --batch 2 --device virtual:cpu,virtual:h200",
      "diff \"resnet18 --allocator roundup_power2_divisions:1\" resnet18 --batch 2",
      "diff resnet18 \"resnet18 --allocator expandable_segments:True\" --batch 2",
      "diff resnet18 \"resnet18 --policy zero-workspace\" --batch 2",
      "diff \"resnet18 --no-grad\" resnet18 --batch 2",
      "diff resnet18 vgg16 --batch 1",
  };
  for (const std::string& arguments : pairs) {
    CAPTURE(arguments);
    check_difference(object_of(arguments));
  }
}

TEST_CASE("causes carry the names of what was changed") {
  const auto total = [](const json& object, const char* metric, const char* cause) {
    const json& totals = object["metrics"][metric]["totals"];
    return totals.contains(cause) ? totals[cause].get<std::int64_t>() : 0;
  };
  const json optimizer = object_of("diff resnet18 resnet18 --batch 2 --optimizer sgd,adam");
  CHECK(total(optimizer, "peak_allocated", "optimizer state") == 2 * 4 * 11'689'512);
  const json card = object_of("diff mlp mlp --device virtual:h200,virtual:a100-80gb");
  CHECK(total(card, "device_use", "context") == (424 - 518) * (1 << 20));
  const json batch = object_of("diff resnet18 resnet18 --batch 8,7");
  CHECK(total(batch, "peak_allocated", "activations saved") < 0);
  const json same = object_of("diff resnet18 resnet18 --batch 2");
  CHECK(same["metrics"]["device_use"]["causes"].empty());
}

TEST_CASE("explain and diff as text say the sentence first, and out of memory is code 3") {
  const Answer text = mnemo_command("diff mlp mlp --batch 8,7");
  CHECK(text.code == 0);
  CHECK(text.out.starts_with("Peak allocated fell by "));
  const Answer page = mnemo_command("explain mlp simple-conv --device virtual:cpu");
  CHECK(page.code == 0);
  CHECK(page.out.find("mlp on virtual:cpu") == std::string::npos);
  CHECK(page.out.find("= device use") != page.out.rfind("= device use"));
  const Answer full = mnemo_command("explain resnet18 --batch 64 --device virtual:cpu:200MiB");
  CHECK(full.code == 3);
  CHECK(full.out.find("= device use") != std::string::npos);
}

// Of a short run that an exception ended, which nobody caught, explain and diff said that it had held nothing.
TEST_CASE("explain and diff say that a recording was cut off") {
  using namespace mnemo;
  const TemporaryFile file("");
  const Device device = Device::open("virtual:cpu");
  const memory::Recorder recorder = memory::record(device.allocator(), file.path(), {.device = "virtual:cpu"});
  const Tensor x = zeros({1000}, {.device = device});
  const Answer explained = mnemo_command("explain " + file.path());
  CHECK(explained.code == 0);
  CHECK(explained.out.find("The recording is not whole") != std::string::npos);
  const Answer compared = mnemo_command("diff mlp " + file.path());
  CHECK(compared.code == 0);
  CHECK(compared.out.find("B: " + file.path() + " on virtual:cpu; this recording is not whole") != std::string::npos);
  CHECK(compared.out.find("not whole") == compared.out.rfind("not whole"));
}

TEST_CASE("explain and diff refuse what they do not understand") {
  for (const auto& wrong :
       std::vector<std::pair<std::string, std::string>>{{"explain", "FILE|MODEL"},
                                                        {"explain resnet", "did you mean resnet18?"},
                                                        {"explain /no/such/file", "is no file"},
                                                        {"explain mlp --bach 3", "did you mean --batch?"},
                                                        {"explain \"mlp --bach 3\"", "--bach"},
                                                        {"explain mlp --size 30", "mlp takes --size 28"},
                                                        {"explain mlp --batch 3,4", "--batch"},
                                                        {"diff mlp", "B is required"},
                                                        {"diff mlp mlp --batch 8,7,6", "more than two values"},
                                                        {"diff mlp \"mlp --optimizer sdg\"", "did you mean sgd?"}}) {
    const Answer answer = mnemo_command(wrong.first);
    CAPTURE(wrong.first);
    CAPTURE(answer.err);
    CHECK(answer.code == 2);
    CHECK(answer.out.empty());
    CHECK(answer.err.find(wrong.second) != std::string::npos);
  }
}

TEST_CASE("a recorded run leaves the program as it was, and two of them are equal") {
  using namespace mnemo;
  const auto run = [] {
    training::RunPlan plan{.spec = *models::find_spec("mlp")};
    plan.device = Device::open("virtual:h200");
    plan.batch = 4;
    plan.size = plan.spec.size;
    return training::record_run(plan);
  };
  manual_seed(5);
  const RandomState before = random_state();
  const training::RecordedRun first = run();
  const training::RecordedRun second = run();
  CHECK(random_state().seed == before.seed);
  CHECK(random_state().offset == before.offset);
  CHECK(!first.out_of_memory);
  CHECK(first.recording.size() == second.recording.size());
  CHECK(first.recording.peak().bytes == second.recording.peak().bytes);
  CHECK(first.recording.header().context == 518 * memory::MiB);
  CHECK(first.recording.header().metadata.front().first == "model");
}

TEST_CASE("explain says that a sum of losses keeps the graph of every step, and that numbers do not") {
  using namespace mnemo;
  const auto evaluated = [](bool by_tensor) {
    const TemporaryFile file("");
    const Device device = Device::open("virtual:cpu");
    const DeviceScope on_device(device);
    memory::Recorder recorder = memory::record(device.allocator(), file.path(), {.device = device.name()});
    nn::Sequential net(nn::Linear({.in = 256, .out = 256}), nn::ReLU(), nn::Linear({.in = 256, .out = 4}));
    (void)net.parameters();
    Tensor total = zeros({});
    double sum = 0;
    for (int step = 1; step <= 4; ++step) {
      const memory::StepScope scope(step);
      const Tensor loss = mean(pow(net(randn({512, 256})), 2));
      if (by_tensor)
        total = total + loss;
      else
        sum += loss.item();
    }
    recorder.stop();
    CHECK(std::isnan(sum) == !by_tensor);  // what a virtual device computes
    return object_of("explain " + file.path());
  };
  const json leak = evaluated(true);
  const std::string answer = leak["answer"];
  CAPTURE(answer);
  CHECK(answer.find("The graph grows over steps: in step 4, ") != std::string::npos);
  CHECK(answer.find("that steps 1 to 3 saved for backward, most of them by ") != std::string::npos);
  CHECK(answer.find("total += loss.item()") != std::string::npos);
  REQUIRE(leak["held_steps"].is_object());
  CHECK(leak["held_steps"]["count"] == 3);
  CHECK(leak["held_steps"]["first"] == 1);
  // At least the input of the second layer, 512 x 256 values in each of three steps.
  CHECK(leak["held_steps"]["bytes"] >= 3 * 512 * 256 * 4);
  CHECK(leak["advice"][0]["action"] == "let go of the graphs of earlier steps");
  const json numbers = evaluated(false);
  CHECK(numbers["held_steps"].is_null());
  CHECK(numbers["answer"].get<std::string>().find("graph") == std::string::npos);
  // Training runs its graphs.
  CHECK(object_of("explain mlp --steps 4 --optimizer adam")["held_steps"].is_null());
}

TEST_CASE("step --record writes what explain, diff and report read") {
  const TemporaryFile first(""), second(""), page("");
  const std::string step = "step simple-conv --device virtual:h200 --steps 2 --record ";
  const json a = object_of(step + first.path() + " --batch 8"), b = object_of(step + second.path() + " --batch 7");
  const auto peak = [](const json& result) {
    std::int64_t most = 0;
    for (const json& one : result["runs"][0]["steps"]) most = std::max(most, one["peak_allocated"].get<std::int64_t>());
    return most;
  };
  CHECK(object_of("explain " + first.path())["peak_allocated"] == peak(a));
  const json difference = object_of("diff " + first.path() + " " + second.path());
  check_difference(difference);
  CHECK(difference["metrics"]["peak_allocated"]["a"] == peak(a));
  CHECK(difference["metrics"]["peak_allocated"]["b"] == peak(b));
  CHECK(mnemo_command("report " + first.path() + " " + second.path() + " --output " + page.path()).code == 0);
  CHECK(page.read().size() > 10000);
  CHECK(mnemo_command("step simple-conv --record /nonexistent/folder/file").code == 1);
}
