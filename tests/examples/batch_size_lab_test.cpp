// mnemo lab batch-size: several models, accumulated gradients and the allocator's options, against numbers from paper.
#include <string>

#include <doctest/doctest.h>

#include "lab_answer.h"

using nlohmann::json;

TEST_CASE("the batch-size lab: the peak with accumulated gradients, on paper") {
  // SimpleConv with Adam, batch 16, in blocks of 512 bytes: most is held when pool1's gradient becomes relu1's.
  const std::int64_t conv1 = 3584 + 512, conv2 = 73728 + 512, fc = 64000 + 512, parameters = conv1 + conv2 + fc;
  const std::int64_t images = 16 * 3 * 28 * 28 * 4 + 512, results = 1024 + 512;
  const std::int64_t plane = 16 * 32 * 26 * 26 * 4, half = 16 * 32 * 13 * 13 * 4;
  const std::int64_t without_gradients = 3 * parameters + images + results + plane + blocks(half / 4) + half + plane;
  for (const char* device : {"cpu", "virtual:cpu", "virtual:v100-32gb"}) {
    const json row = row_of(lab("batch-size", device), "E5");
    // Then the gradients of conv2 and fc are there, or, from the batches before, those of conv1 too.
    CHECK(measured(row, "peak of a step, batch 16") == without_gradients + conv2 + fc);
    CHECK(measured(row, "peak of a step, gradients of 4 x 16 added up") == without_gradients + parameters);
    CHECK(row["verdict"] == "depends");
  }
}

TEST_CASE("the batch-size lab: accumulated gradients are those of the large batch, but for batch normalization") {
  for (const char* device : {"cpu", "virtual:h200"}) {
    const json row = row_of(lab("batch-size", device), "E5");
    // float32 rounds to 2^-24, 60 billionths.
    CHECK(measured(row, "largest difference of a gradient, 4 x 16 against 64") < 10'000);
    CHECK(measured(row, "largest difference of a gradient, batch normalization") > 1'000'000);
    // From zeros (means) and ones (variances) with momentum 0.1: a tenth of the way to the batch's once, or four times.
    CHECK(measured(row, "largest difference of its running statistics") > 10'000'000);
    CHECK(row["because"].get<std::string>().find("the same up to rounding") != std::string::npos);
  }
}

TEST_CASE("the batch-size lab: options of the allocator with batches that vary") {
  for (const char* device : {"cpu", "virtual:h200", "virtual:t4"}) {
    const json row = row_of(lab("batch-size", device), "E6");
    CAPTURE(device);
    CHECK(row["verdict"] == "true");
    const auto smallest = [&](const std::string& options) {
      return measured(row, "smallest memory in which no request fails, " + options);
    };
    CHECK(smallest("expandable_segments:True") < smallest("defaults"));
    CHECK(smallest("roundup_power2_divisions:4") > smallest("defaults"));
    CHECK(smallest("expandable_segments:True") >= measured(row, "peak allocated"));
    // The capacity at which they are compared lies between the two.
    int failing = 0, running = 0;
    for (const auto& [name, value] : row["measured"].items()) {
      if (!name.starts_with("requests that fail in ")) continue;
      if (name.ends_with("defaults")) failing += value > 0 ? 1 : 0;
      if (name.ends_with("expandable_segments:True")) running += value == 0 ? 1 : 0;
    }
    CHECK(failing == 1);
    CHECK(running == 1);
    CHECK(measured(row, "peak reserved, defaults, batches in ascending order") >
          measured(row, "peak reserved, defaults, largest batch first"));
  }
}

TEST_CASE("the batch-size lab: what an LSTM and a transformer keep for each place, on paper") {
  for (const char* device : {"cpu", "virtual:cpu", "virtual:h200", "virtual:16GiB"}) {
    CAPTURE(device);
    const json row = row_of(lab("batch-size", device), "E4");
    const auto left = [&](const char* model, const char* batch) {
      return measured(row, std::string(model) + ": left by the forward pass, batch " + batch);
    };
    CHECK(left("mlp", "64") == 64 * (512 + 512 + 10) * 4);
    // 64 places, 64 features in, twice 128 features: in each layer 4 gates, c and h; once more the last h.
    CHECK(left("lstm", "64") == 64 * 4 * (64 * 64 + 2 * 6 * 64 * 128 + 128 + 10));
    // 128 places: 64 features in; in each of 4 blocks 8 arrays of 128 features and 2 of 512, and the sum behind them.
    CHECK(left("transformer", "64") ==
          64 * 4 * (128 * 64 + 128 * 4 * (8 * 128 + 2 * 512) + 128 * 128 + 9 * 2 * 128 + 128 + 10));
    CHECK(measured(row, "mlp: allocated after the step") ==
          4 * 4 * (784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 128));  // 10 biases in a block of 512 bytes
    CHECK(row["verdict"] == "true");
  }
}
