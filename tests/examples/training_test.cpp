// The ways to train lean: --amp, --accumulate, --optimizer-in-backward and --optimizer adam8bit, and their bytes.
#include <string>

#include <doctest/doctest.h>

#include "program.h"
#include "training/trainer.h"

using nlohmann::json;

namespace {

constexpr std::int64_t kMiB = 1 << 20;

/// Blocks of multiples of 512 bytes, nothing unsplit behind them.
const std::string kExact = "--allocator expandable_segments:True";

json last_step(const json& object) { return object["runs"].back()["steps"].back(); }

std::int64_t at_peak(const json& step, const char* category) { return step["peak"]["categories"].value(category, 0); }

}  // namespace

TEST_CASE("step: lean options have the bytes of cpu on virtual:cpu, and a loss that falls in line") {
  for (const char* options :
       {"--amp bf16", "--amp fp16 --optimizer adam", "--accumulate 3", "--optimizer adam --optimizer-in-backward",
        "--optimizer adam8bit", "--amp bf16 --optimizer adam8bit --optimizer-in-backward", "--in-place", "--offload",
        "--in-place --offload --amp bf16"}) {
    CAPTURE(options);
    const std::string arguments = std::string("step simple-conv --batch 4 --steps 2 ") + options + " --device ";
    json real = object_of(arguments + "cpu"), virtual_one = object_of(arguments + "virtual:cpu");
    CHECK(real == object_of(arguments + "cpu"));
    for (json& step : real["runs"][0]["steps"]) {
      CHECK(step["loss"].get<double>() > 1);
      CHECK(step["loss"].get<double>() < 4);
      step["loss"] = nullptr;
    }
    real["device"] = "virtual:cpu";
    CHECK(real == virtual_one);
  }
}

TEST_CASE("step --optimizer adam8bit: the state of a large layer is two bytes per value and a float per 2048") {
  const auto after = [](const char* optimizer) {
    return last_step(object_of(std::string("step vgg16 --batch 1 --steps 2 --device virtual:h200 ") + kExact +
                               " --optimizer " + optimizer))["allocated"]
        .get<std::int64_t>();
  };
  // Both keep parameters and gradients. Of the 138,357,544 values 5,224 (biases of the convolutions and of the last
  // layer) and 1,728 (the first kernels) lie in tensors of fewer than 4096, where both rules keep the same.
  const std::int64_t coded = 138'357'544 - 5'224 - 1'728;
  const std::int64_t saved = after("adam") - after("adam8bit");
  const double expected = static_cast<double>(coded) * (8 - 2 - 2 * 4.0 / 2048);
  CHECK(static_cast<double>(saved) == doctest::Approx(expected).epsilon(1e-4));
}

TEST_CASE("step --optimizer-in-backward: the gradients are gone, the losses the same") {
  const std::string arguments = "step resnet18 --optimizer adam --steps 2 --batch ";
  const json usual = last_step(object_of(arguments + "8 --device virtual:h200")),
             lean = last_step(object_of(arguments + "8 --device virtual:h200 --optimizer-in-backward"));
  CHECK(usual["allocated"].get<std::int64_t>() - lean["allocated"].get<std::int64_t>() >= 4 * 11'689'512);
  CHECK(lean["peak_allocated"] < usual["peak_allocated"]);
  const std::string small = "step simple-conv --batch 4 --steps 3 --optimizer adam --device cpu";
  const json one = object_of(small), other = object_of(small + " --optimizer-in-backward");
  for (std::size_t i = 0; i < 3; ++i) CHECK(one["runs"][0]["steps"][i]["loss"] == other["runs"][0]["steps"][i]["loss"]);
}

TEST_CASE("step --accumulate: the activations of one batch, and the mean of the gradients") {
  const json one = last_step(object_of("step resnet18 --batch 8 --steps 2 --device virtual:h200")),
             four = last_step(object_of("step resnet18 --batch 8 --accumulate 4 --steps 2 --device virtual:h200")),
             wide = last_step(object_of("step resnet18 --batch 32 --steps 2 --device virtual:h200"));
  // At the most the gradients, each in a block, are there beside what one batch needs.
  CHECK(four["peak_allocated"] <= one["peak_allocated"].get<std::int64_t>() + 4 * 11'689'512 + 62 * 512);
  CHECK(four["peak_allocated"] < wide["peak_allocated"]);
  // Two halves of a batch, by hand: the trainer's update is that of the mean of both losses.
  using namespace mnemo;
  const models::Spec& spec = *models::find_spec("mlp");
  manual_seed(3);
  training::Trainer trainer(spec, training::TrainerOptions{.accumulate = 2});
  manual_seed(4);
  trainer.step(4, spec.size);
  manual_seed(3);
  const auto model = spec.make();
  manual_seed(4);
  const models::Batch a = models::random_batch(spec, 4, spec.size);
  Tensor loss = models::loss(spec, model->forward(a.input), a.targets) * 0.5;
  loss.backward();
  const models::Batch b = models::random_batch(spec, 4, spec.size);
  loss = models::loss(spec, model->forward(b.input), b.targets) * 0.5;
  loss.backward();
  optim::SGD(model->parameters(), {.lr = 0.01}).step();
  const auto expected = model->parameters(), got = trainer.model().parameters();
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i].values<float>() == expected[i].values<float>());
}

TEST_CASE("step --amp on a card: half activations, float32 parameters, and their half copies while they are needed") {
  for (const char* device : {"virtual:h200", "virtual:cpu"}) {
    CAPTURE(device);
    const std::string arguments = std::string("step resnet50 --batch 16 --steps 2 ") + kExact + " --device " + device;
    const json whole = last_step(object_of(arguments)), half = last_step(object_of(arguments + " --amp bf16"));
    const double ratio = static_cast<double>(at_peak(half, "saved_activation")) /
                         static_cast<double>(at_peak(whole, "saved_activation"));
    CHECK(ratio > 0.45);
    CHECK(ratio < 0.6);
    CHECK(half["allocated"] == whole["allocated"]);  // parameters and gradients stay float32
    CHECK(at_peak(whole, "parameter") < 4 * 25'557'032 + 161 * 512);
    CHECK(at_peak(half, "parameter") > 4 * 25'557'032);
    CHECK(at_peak(half, "parameter") < 6 * 25'557'032 + 2 * 161 * 512);
  }
  // Its float32 weight of 64*64*4 B, and the copy of half of that which backward needs.
  const json object = object_of("explain resnet50 --batch 16 --device virtual:h200 --amp bf16");
  CHECK(object["about"]["amp"] == "bfloat16");
  int halves = 0, norms = 0;
  for (const json& row : object["layers"]) {
    if (row["module"] == "layer1.0.conv1") CHECK(row["parameters"] == 16'384 + 8'192);
  }
  for (const json& row : object["layers"]) {
    if (row["op"] == "conv2d" || row["op"] == "linear" || row["op"] == "batch_norm") {
      CHECK(row["dtype"] == "bfloat16");
      norms += row["op"] == "batch_norm";
      ++halves;
    }
    if (row["op"] == "cross_entropy") CHECK(row["dtype"] == "float32");
  }
  CHECK(halves == 53 + 1 + 53);
  CHECK(norms == 53);
}

TEST_CASE("step refuses lean options that do not go together") {
  for (const auto& wrong : std::vector<std::pair<std::string, std::string>>{
           {"--amp bf16 --dtype float16", "--amp is for parameters in float32"},
           {"--amp fp32", "--amp"},
           {"--accumulate 0", "--accumulate"},
           {"--accumulate 2 --optimizer-in-backward", "cannot be accumulated"},
           {"--amp fp16 --optimizer-in-backward", "--amp bf16"},
           {"--no-grad --accumulate 2", "updates nothing"},
           {"--optimizer adam8bt", "did you mean adam8bit?"}}) {
    CAPTURE(wrong.first);
    const Answer answer = mnemo_command("step mlp --device virtual:cpu " + wrong.first);
    CHECK(answer.code == 2);
    CHECK(answer.err.find(wrong.second) != std::string::npos);
  }
  using namespace mnemo;
  const models::Spec& spec = *models::find_spec("mlp");
  CHECK_THROWS_AS(training::Trainer(spec, {.accumulate = 2, .step_in_backward = true}), GradError);
  CHECK_THROWS_AS(training::Trainer(spec, {.amp = DType::float16, .step_in_backward = true}), GradError);
}

TEST_CASE(
    "step --in-place: an activation less for each normalization with its relu, and a bit for a relu before a pool") {
  const auto forward = [](const std::string& model, const std::string& options) {
    const json step = last_step(object_of("step " + model + " --device virtual:cpu " + kExact + options));
    return step["after_forward"].get<std::int64_t>() - step["before_forward"].get<std::int64_t>();
  };
  const auto difference = [&](const std::string& model) { return forward(model, "") - forward(model, " --in-place"); };
  // ResNet-18, 8 images: the result of the first normalization, and of both in each of the two blocks of a stage.
  std::int64_t expected = 8 * 64 * 112 * 112;
  for (const std::int64_t stage : {64 * 56 * 56, 128 * 28 * 28, 256 * 14 * 14, 512 * 7 * 7}) expected += 4 * 8 * stage;
  CHECK(difference("resnet18") == 4 * expected);
  // U-Net, 2 volumes: both of each of the five pairs.
  expected = 2 * 2 * (2 * 16 * 32 * 32 * 32 + 2 * 32 * 16 * 16 * 16 + 64 * 8 * 8 * 8);
  CHECK(difference("unet3d") == 4 * expected);
  // VGG-16, one image: five relus stand before a pool; bits come in blocks of 512 bytes. Two of the linear layers'
  // relus are kept by dropout's input and by the next layer, as before.
  expected = 0;
  for (const std::int64_t stage : {64 * 224 * 224, 128 * 112 * 112, 256 * 56 * 56, 512 * 28 * 28, 512 * 14 * 14})
    expected += 4 * stage - (stage / 8 + 511) / 512 * 512;
  CHECK(difference("vgg16 --batch 1") == expected);
}

TEST_CASE("step --in-place, --offload: the same losses; the device holds less and the host the rest") {
  const auto losses = [](const json& object) {
    std::vector<double> list;
    for (const json& step : object["runs"][0]["steps"]) list.push_back(step["loss"].get<double>());
    return list;
  };
  const std::string arguments = "step unet3d --batch 1 --size 32 --steps 2 --device cpu ";
  const json plain = object_of(arguments);
  for (const char* options : {"--in-place", "--offload", "--in-place --offload", "--in-place --checkpoint 4",
                              "--offload --checkpoint 4", "--in-place --accumulate 1"}) {
    CAPTURE(options);
    const json lean = object_of(arguments + options);
    CHECK(losses(lean) == losses(plain));
    CHECK(last_step(lean)["peak_allocated"] < last_step(plain)["peak_allocated"]);
    CHECK(last_step(lean)["after_forward"] < last_step(plain)["after_forward"]);
    CHECK(last_step(lean).contains("host_peak") == (std::string(options).find("offload") != std::string::npos));
  }
  const json moved = last_step(object_of(arguments + "--offload"));
  // The outputs of the fine level's four convolutions and their relus, 2 MiB for 16 channels of 32 voxels' cube; what
  // the decoder joined, 48 of them, and 96 on the coarser level; the rest is below 1 MiB each. The last one lies in a
  // block whose remainder of 1/2 MiB is too small to be split off.
  CHECK(moved["host_peak"] == (8 * 2 + 6) * kMiB + 3 * kMiB / 2 + kMiB / 2);
}
