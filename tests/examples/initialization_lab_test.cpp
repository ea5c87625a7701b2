// mnemo lab initialization: its figures against numbers from paper, and its verdicts.
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "lab_answer.h"

using nlohmann::json;

namespace {

// SimpleConv: Conv2d(3, 32, 3), Conv2d(32, 64, 3), Linear(64*5*5, 10), weights and biases in whole blocks of 512 bytes.
constexpr std::int64_t kParameters = 3584 + 512 + 73'728 + 512 + 64'000 + 512;

/// What autograd keeps of so many images of 28 x 28: of each relu and each pool the output, and a byte per maximum.
std::int64_t kept(std::int64_t images) {
  return images * 32 * 26 * 26 * 4 + images * 32 * 13 * 13 * (4 + 1) + images * 64 * 11 * 11 * 4 +
         images * 64 * 5 * 5 * (4 + 1);
}

}  // namespace

TEST_CASE("the initialization lab agrees with its arithmetic on every kind of device") {
  check_agreement("initialization");
}

TEST_CASE("the initialization lab: what exists when") {
  for (const char* device : {"cpu", "virtual:h200"}) {
    const json row = row_of(lab("initialization", device), "D1");
    CAPTURE(device);
    CHECK(row["verdict"] == "false");
    for (const char* when : {"after the model is made", "after the optimizer is made"})
      CHECK(measured(row, std::string("allocated, ") + when) == kParameters);
    const std::int64_t results = 64 * 10 * 4 + 512;            // output and loss
    const std::int64_t batch = 64 * 3 * 28 * 28 * 4 + 64 * 8;  // images and labels
    CHECK(measured(row, "activations, after the first forward") == kept(64) + results);
    CHECK(measured(row, "gradients, after the first forward") == 0);
    CHECK(measured(row, "gradients, after the first backward") == kParameters);
    CHECK(measured(row, "Adam's moments, after the first backward") == 0);
    CHECK(measured(row, "Adam's moments, after the first step") == 2 * kParameters);
    CHECK(measured(row, "allocated, after the first step") == 4 * kParameters + batch + results);
  }
}

TEST_CASE("the initialization lab: a quarter of the batch") {
  const json row = row_of(lab("initialization", "virtual:cpu"), "D2");
  CHECK(row["verdict"] == "depends");
  CHECK(measured(row, "kept by autograd, simple-conv, batch 64") == kept(64));
  CHECK(measured(row, "kept by autograd, simple-conv, batch 16") == kept(16));
  CHECK(measured(row, "kept by autograd, small-network, batch 16") == 16 * 16 * 30 * 30 * 4);
  const auto peak = [&](const char* of) {
    return static_cast<double>(measured(row, std::string("peak of a step, ") + of));
  };
  CHECK(peak("simple-conv, batch 16") < 0.3 * peak("simple-conv, batch 64"));
  CHECK(peak("small-network, batch 16") > 0.8 * peak("small-network, batch 64"));
}

TEST_CASE("the initialization lab: a forward pass that is not recorded") {
  const json row = row_of(lab("initialization", "virtual:cpu"), "D3");
  CHECK(row["verdict"] == "true");
  // The convolutions' relus at 224, 112, 56, 28 and 14 pixels, and four pools but the last, whose output is the result;
  // of five pools a byte per maximum.
  const std::int64_t relus =
      2 * 64 * 224 * 224 + 2 * 128 * 112 * 112 + 3 * 256 * 56 * 56 + 3 * 512 * 28 * 28 + 3 * 512 * 14 * 14;
  const std::int64_t pools = 64 * 112 * 112 + 128 * 56 * 56 + 256 * 28 * 28 + 512 * 14 * 14;
  CHECK(measured(row, "kept by autograd, recorded") == 4 * (relus + pools) + pools + 512 * 7 * 7);
  CHECK(measured(row, "kept by autograd, under no_grad") == 0);
  // The first two activations.
  CHECK(measured(row, "forward pass at most, under no_grad") == 2 * 64 * 224 * 224 * 4);
}

TEST_CASE("the initialization lab: replicas, and sharded moments") {
  for (const char* device : {"cpu", "virtual:t4"}) {
    const json row = row_of(lab("initialization", device), "D4");
    CAPTURE(device);
    CHECK(row["verdict"] == "depends");
    CHECK(measured(row, "parameters on each, devices: 4") == kParameters);
    CHECK(measured(row, "gradients on each, devices: 4") == kParameters);
    CHECK(measured(row, "Adam's moments on each, devices: 4") == 2 * kParameters);
    CHECK(measured(row, "kept by autograd on each, devices: 4") == kept(16));
    // Two moments of conv2's weight, the largest parameter.
    CHECK(measured(row, "sharded: Adam's moments, the most on one, devices: 2") == 2 * 73'728);
    CHECK(measured(row, "sharded: Adam's moments, all together, devices: 4") == 2 * kParameters);
    // 35,402 values of 4 bytes, to one device and back, from three others.
    CHECK(measured(row, "sent in a step, all together, devices: 4") == 2 * 3 * 35'402 * 4);
    CHECK(measured(row, "averaged gradients unlike those of one device") == 0);
    CHECK(measured(row, "parameter values that differ between replicas") == 0);
    CHECK(measured(row, "parameter values that differ when sharded") == 0);
  }
}

TEST_CASE("the initialization lab: masks and missing channels") {
  const json row = row_of(lab("initialization", "virtual:cpu"), "D5");
  CHECK(row["verdict"] == "depends");
  CHECK(measured(row, "parameters, half of the weights masked") == kParameters);
  CHECK(measured(row, "masks, half of the weights masked") == 3584 + 73'728 + 64'000);
  CHECK(measured(row, "weights masked, of a thousand") > 480);
  CHECK(measured(row, "weights masked, of a thousand") < 520);
  // The masked weights of conv2 and fc, which their inputs' gradients need.
  CHECK(measured(row, "kept by autograd, half of the weights masked") == kept(64) + 73'728 + 64'000);
  CHECK(measured(row, "peak of a step, half of the weights masked") > measured(row, "peak of a step, as it is"));
  // Conv2d(3, 16, 3), Conv2d(16, 32, 3), Linear(32*5*5, 10).
  CHECK(measured(row, "parameters, half of the channels") == 2048 + 512 + 18'432 + 512 + 32'256 + 512);
  CHECK(measured(row, "kept by autograd, half of the channels") == kept(64) / 2);
}
