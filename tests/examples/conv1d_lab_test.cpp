// mnemo lab conv1d: its figures against numbers from paper, and its verdicts.
#include <string>

#include <doctest/doctest.h>

#include "lab_answer.h"

using nlohmann::json;

namespace {

// Conv1d(128, 64, kernel 3): a weight of 64 x 128 x 3 values and 64 of bias, in blocks of 512 bytes; and the parts of
// the separable one.
constexpr std::int64_t kWeight = 98304, kParameters = kWeight + 512;
constexpr std::int64_t kDepthwise = 1536 + 512, kPointwise = 32768 + 512;

}  // namespace

TEST_CASE("the conv1d lab agrees with its arithmetic on every kind of device") { check_agreement("conv1d"); }

TEST_CASE("the conv1d lab: a pool before the convolution, on paper") {
  // Bytes of (1, 128, 1024), (1, 128, 512), (1, 64, 1022) and (1, 64, 510).
  const std::int64_t data = 524288, pooled = 262144, wide = 261632, narrow = 130560;
  for (const char* device : {"cpu", "virtual:cpu", "virtual:16GiB"}) {
    const json object = lab("conv1d", device);
    CHECK(measured(row_of(object, "C1a"), "length of the output") == 510);
    CHECK(verdict(object, "C1a") == "false");
    const json kinds = row_of(object, "C1b");
    CHECK(measured(kinds, "kept by max pooling of the input") == 0);
    CHECK(measured(kinds, "kept by average pooling behind another layer") == 0);
    CHECK(measured(kinds, "kept by max pooling behind another layer") == 128 * 512);
    CHECK(kinds["verdict"] == "depends");
    const json row = row_of(object, "C1");
    CHECK(measured(row, "the convolution's input and output, length 1024") == data + wide);
    CHECK(measured(row, "the convolution's input and output, pooled") == pooled + narrow);
    // The parameters and their gradients, the data, the output and its gradient, the loss.
    CHECK(measured(row, "peak of a training step, length 1024") == 2 * kParameters + data + 2 * wide + 512);
    const std::int64_t behind_a_pool = 2 * kParameters + data + pooled + 2 * narrow + 512;
    CHECK(measured(row, "peak of a training step, average pooling") == behind_a_pool);
    CHECK(measured(row, "peak of a training step, max pooling") == behind_a_pool);
    CHECK(measured(row, "peak of a training step, data of length 512") == 2 * kParameters + pooled + 2 * narrow + 512);
    // Four layers, when the last one's gradients are there: outputs of length 1022 to 1016, two gradients of them.
    CHECK(measured(row, "peak of a training step, length 1024, three more") ==
          kParameters + 3 * 49664 + data + 64 * 4 * (1022 + 1020 + 1018 + 1016) + 512 + 64 * 4 * (1016 + 1018) + 49664);
    CHECK(measured(row, "peak of a forward pass without recording, length 1024") == kParameters + data + wide);
    CHECK(measured(row, "peak of a forward pass without recording, pooled") == kParameters + data + pooled + narrow);
    CHECK(row["verdict"] == "depends");
  }
}

TEST_CASE("the conv1d lab: the separable convolution, on paper") {
  // Bytes of (1, 128, 512), of (1, 128, 510) between the parts, and of (1, 64, 510).
  const std::int64_t data = 262144, between = 261120, output = 130560;
  for (const char* device : {"cpu", "virtual:cpu", "virtual:16GiB"}) {
    const json object = lab("conv1d", device);
    CHECK(measured(row_of(object, "C2a"), "length of the output") == 510);
    CHECK(verdict(object, "C2a") == "false");
    const json parameters = row_of(object, "C2b");
    CHECK(measured(parameters, "parameters of Conv1d") == 24640);
    CHECK(measured(parameters, "parameters of the separable one") == 8768);
    CHECK(parameters["verdict"] == "true");
    const json row = row_of(object, "C2");
    CHECK(measured(row, "kept for backward besides the input, Conv1d") == 0);
    CHECK(measured(row, "kept for backward besides the input, separable") == between);
    CHECK(measured(row, "peak of a training step, Conv1d") == 2 * kParameters + data + 2 * output + 512);
    CHECK(measured(row, "peak of a training step, separable") ==
          kDepthwise + 2 * kPointwise + data + 2 * between + 2 * output + 512);
    // 2 * 512 * (L - 2) bytes against 2 * 98,816 - 2,048 - 2 * 33,280: as many at 128, more from 129 on.
    CHECK(measured(row, "length from which on the separable one's training step takes more") == 129);
    // 512 * (L - 2) against 98,816 - 2,048 - 33,280.
    CHECK(measured(row, "length from which on its forward pass without recording takes more") == 127);
    CHECK(row["verdict"] == "depends");
  }
}

TEST_CASE("the conv1d lab: checkpoints, on paper") {
  const std::int64_t tensor = 4 * 128 * 512 * 4;                               // (4, 128, 512)
  const std::int64_t convolution = std::int64_t{2} * 4 * 128 * 512 * 128 * 3;  // operations
  for (const char* device : {"cpu", "virtual:t4"}) {
    const json object = lab("conv1d", device);
    const json one = row_of(object, "C3a");
    const std::int64_t held = kParameters + 262144 + 130560;
    CHECK(measured(one, "allocated after the forward pass, without") == held);
    CHECK(measured(one, "allocated after the forward pass, with the checkpoint") == held);
    CHECK(measured(one, "peak of a training step, with the checkpoint") ==
          measured(one, "peak of a training step, without"));
    CHECK(one["verdict"] == "false");
    const json chain = row_of(object, "C3");
    // The rectifiers' outputs; three parts' inputs and what the last part keeps; and the squares in the loss.
    CHECK(measured(chain, "16 convolutions and rectifiers: activations") == (16 + 1) * tensor + 512);
    CHECK(measured(chain, "one checkpoint around all: activations") > (16 + 1) * tensor + 512);
    CHECK(measured(chain, "in 4 parts, checkpoints around the first 3: activations") == (3 + 4 + 1) * tensor + 512);
    // Twelve convolutions with their rectifiers are run again.
    CHECK(measured(chain, "in 4 parts, checkpoints around the first 3: operations") -
              measured(chain, "16 convolutions and rectifiers: operations") ==
          12 * (convolution + tensor / 4));
    CHECK(chain["verdict"] == "depends");
  }
}
