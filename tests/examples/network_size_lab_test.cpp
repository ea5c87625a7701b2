// mnemo lab network-size: its figures against numbers from paper, and its verdicts.
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "lab_answer.h"

using nlohmann::json;

namespace {

// SmallNetwork: Conv2d(3, 16, 3) on 32 x 32 and Linear(16*30*30, 128), float32.
constexpr std::int64_t kConv = 2048 + 512;         // 432 weights in whole blocks of 512 bytes, 16 biases
constexpr std::int64_t kLinear = 7'372'800 + 512;  // 1,843,200 weights, 128 biases
constexpr std::int64_t kParameters = kConv + kLinear;
constexpr std::int64_t kMiB = 1 << 20;

}  // namespace

TEST_CASE("the network-size lab agrees with its arithmetic on every kind of device") {
  check_agreement("network-size");
}

TEST_CASE("the network-size lab: parameters by layer") {
  const json row = row_of(lab("network-size", "virtual:cpu"), "B1");
  CHECK(row["verdict"] == "true");
  CHECK(measured(row, "parameters (count), 16 filters") == 1'843'776);
  CHECK(measured(row, "parameters (count), 64 filters") == 7'374'720);
  CHECK(measured(row, "conv1, 16 filters") == kConv);
  CHECK(measured(row, "fc1, 16 filters") == kLinear);
  CHECK(measured(row, "conv1, 64 filters") == 7168 + 512);  // 1,728 weights, 64 biases
  CHECK(measured(row, "fc1, 64 filters") == 29'491'200 + 512);
  CHECK(measured(row, "kept by autograd, batch 1, 64 filters") == 230'400);  // 64 * 30 * 30 * 4
}

TEST_CASE("the network-size lab: a step's peak on paper") {
  const json row = row_of(lab("network-size", "virtual:cpu"), "B2");
  CHECK(row["verdict"] == "depends");
  CHECK(measured(row, "kept by autograd, batch 1") == 57'856);  // 57,600 in whole blocks
  CHECK(measured(row, "kept by autograd, batch 4") == 230'400);
  CHECK(measured(row, "parameters, gradients and Adam's state, batch 4") == 4 * kParameters);
  // Most is held at the gradient of the linear layer's bias: parameters and moments, images and labels, the relu's
  // output and its gradient, the network's output and its gradient, the loss, and the linear layer's gradients.
  const std::int64_t images = 4 * 3 * 32 * 32 * 4 + 512, output = 4 * 128 * 4;
  CHECK(measured(row, "peak of a training step, batch 4") ==
        3 * kParameters + images + 2 * 230'400 + 2 * output + 512 + kLinear);
}

TEST_CASE("the network-size lab: half precision by category") {
  for (const char* device : {"virtual:cpu", "virtual:h200"}) {
    const json row = row_of(lab("network-size", device), "B3");
    CAPTURE(device);
    CHECK(row["verdict"] == "depends");
    const std::int64_t half = 1024 + 512 + 3'686'400 + 512;  // 432, 16, 1,843,200 and 128 values of two bytes
    CHECK(measured(row, "weights, float32") == kParameters);
    CHECK(measured(row, "weights, bfloat16 model") == half);
    CHECK(measured(row, "Adam's moments, bfloat16 model") == 2 * half);
    CHECK(measured(row, "weights and their half copies, forward, autocast") == kParameters + half);
    CHECK(measured(row, "gradients, autocast") == kParameters);
    CHECK(measured(row, "Adam's moments, autocast") == 2 * kParameters);
    // A GPU's half convolutions are channels-last, and flatten copies.
    const std::int64_t planes = std::string(device) == "virtual:cpu" ? 1 : 2;
    CHECK(measured(row, "kept by autograd, float32") == 4 * 16 * 30 * 30 * 4);
    CHECK(measured(row, "kept by autograd, bfloat16 model") == planes * 4 * 16 * 30 * 30 * 2);
    CHECK(measured(row, "kept by autograd, autocast") == planes * 4 * 16 * 30 * 30 * 2 + 4 * 3 * 32 * 32 * 2);
    CHECK(measured(row, "peak of a step, batch 4, autocast") > measured(row, "peak of a step, batch 4, float32"));
    CHECK(measured(row, "peak of a step, batch 512, autocast") < measured(row, "peak of a step, batch 512, float32"));
  }
}

TEST_CASE("the network-size lab: gradients that float16 loses, and a scaled loss") {
  const json row = row_of(lab("network-size", "virtual:h200"), "B4");
  CHECK(row["verdict"] == "true");
  // 2^-12 to 2^-35 for each of 4096 outputs; 2^-24 is the smallest that is left: 13 of 24.
  CHECK(measured(row, "gradients of a layer") == 4096 * 24);
  CHECK(measured(row, "of them 0 in float16 (") == 4096 * 11);
  CHECK(measured(row, "of them 0 in float16, loss scaled") == 0);
  CHECK(measured(row, "of them not those of float64, loss scaled") == 0);
  const std::int64_t lost = measured(row, "SmallNetwork: of them 0 in float16 (");
  CHECK(lost > 100'000);
  CHECK(measured(row, "SmallNetwork: of them 0 in float16, loss scaled") < lost / 10);
}

TEST_CASE("the network-size lab: the curve of checkpoints along a chain") {
  const json row = row_of(lab("network-size", "virtual:t4"), "B5a");
  CHECK(row["verdict"] == "true");
  // 64 layers of 1 MiB each, and the loss.
  CHECK(measured(row, "activations at most, segments: 1") == 65 * kMiB + 512);
  CHECK(measured(row, "activations at most, segments: 8") == 16 * kMiB + 512);
  CHECK(measured(row, "activations at most, segments: 64") == 65 * kMiB + 512);
  // A layer: 1024 x 256 x 256 products with their sums, the bias among these, then relu. 56 of them run twice.
  CHECK(measured(row, "extra operations (not bytes), segments: 8") ==
        std::int64_t{56} * (2 * 1024 * 256 * 256 + 1024 * 256));
}

TEST_CASE("the network-size lab: weights of one byte") {
  const json row = row_of(lab("network-size", "virtual:cpu"), "B5b");
  CHECK(row["verdict"] == "depends");
  CHECK(measured(row, "weights at rest, 16 layers 512->512, float32") == 16 * kMiB);
  // A byte for each, and a step and a zero point for each output.
  const std::int64_t rest = 16 * (512 * 512 + 2 * 2048);
  CHECK(measured(row, "weights at rest, 16 layers 512->512, uint8") == rest);
  // One weight turned back, with the first input, the layer's own and its output (64 x 512 values each).
  CHECK(measured(row, "peak of inference, 16 layers 512->512, uint8") == rest + kMiB + 3 * 64 * 512 * 4);
  CHECK(measured(row, "weights at rest, fc1 of SmallNetwork, uint8") == 1'843'200 + 2 * 512);
  CHECK(measured(row, "peak of inference, fc1 of SmallNetwork, uint8") >
        measured(row, "peak of inference, fc1 of SmallNetwork, float32"));
  const std::int64_t error = measured(row, "largest error in thousandths of its step");
  CHECK(error > 450);
  CHECK(error <= 501);
}

TEST_CASE("the network-size lab: what nvidia-smi shows, and the largest batch") {
  const json row = row_of(lab("network-size", "virtual:h200"), "B6");
  CHECK(row["verdict"] == "depends");
  const std::int64_t context = 518 * kMiB;  // of the card
  CHECK(measured(row, "context and libraries") == context);
  const std::int64_t alone = measured(row, "nvidia-smi shows after batch 64 alone");
  CHECK((alone - context) % (2 * kMiB) == 0);  // whole segments
  CHECK(alone > measured(row, "context and what was allocated at most, batch 64 alone"));
  const std::int64_t full = measured(row, "nvidia-smi shows after the largest batch alone");
  CHECK(full <= 768 * kMiB);
  CHECK(measured(row, "nvidia-smi shows after batch 64 behind the largest") == full);
  CHECK(measured(row, "out-of-memory errors at that batch") == 0);
  CHECK(measured(row, "out-of-memory errors at one image more") == 1);
}
