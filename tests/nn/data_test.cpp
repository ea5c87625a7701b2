// Batches of samples of different sizes: what is in them, and what their order does to the allocator.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include <mnemo/core/error.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/data.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/sequential.h>

using namespace mnemo;
using namespace mnemo::nn;
using Order = SamplerOptions::Order;

namespace {

std::vector<std::int64_t> lengths(std::size_t count) {
  std::vector<std::int64_t> list;
  for (std::size_t i = 0; i < count; ++i) list.push_back(static_cast<std::int64_t>(256 + (i * 2654435761u) % 3841));
  return list;
}

std::vector<std::int64_t> samples_of(const std::vector<SampleBatch>& epoch) {
  std::vector<std::int64_t> all;
  for (const SampleBatch& batch : epoch) all.insert(all.end(), batch.samples.begin(), batch.samples.end());
  return all;
}

/// Elements that are padding.
std::int64_t padding(const std::vector<SampleBatch>& epoch, const std::vector<std::int64_t>& sizes) {
  std::int64_t total = 0;
  for (const SampleBatch& batch : epoch)
    for (const std::int64_t sample : batch.samples) total += batch.size - sizes[static_cast<std::size_t>(sample)];
  return total;
}

}  // namespace

TEST_CASE("an epoch has every sample once, padded to the largest of its batch") {
  const std::vector<std::int64_t> sizes = lengths(103);
  for (const Order order : {Order::shuffled, Order::as_given, Order::ascending, Order::descending}) {
    for (const std::int64_t bucket : {1, 4, 100}) {
      for (const bool largest_first : {false, true}) {
        for (const bool drop_last : {false, true}) {
          const BatchSampler sampler(sizes, {.batch = 8,
                                             .order = order,
                                             .bucket = bucket,
                                             .multiple = 64,
                                             .largest_first = largest_first,
                                             .drop_last = drop_last});
          const std::vector<SampleBatch> epoch = sampler.epoch();
          CHECK(static_cast<std::int64_t>(epoch.size()) == sampler.batches());
          CHECK(epoch.size() == (drop_last ? 12 : 13));
          std::vector<std::int64_t> all = samples_of(epoch);
          std::sort(all.begin(), all.end());
          CHECK(all.size() == (drop_last ? 96 : 103));
          CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
          std::int64_t largest = 0;
          for (const SampleBatch& batch : epoch) {
            std::int64_t longest = 0;
            for (const std::int64_t sample : batch.samples)
              longest = std::max(longest, sizes[static_cast<std::size_t>(sample)]);
            CHECK(batch.size == (longest + 63) / 64 * 64);
            largest = std::max(largest, batch.size * static_cast<std::int64_t>(batch.samples.size()));
          }
          if (largest_first) CHECK(epoch[0].size * static_cast<std::int64_t>(epoch[0].samples.size()) == largest);
        }
      }
    }
  }
}

TEST_CASE("shuffled epochs differ and repeat with the seed; buckets save padding") {
  const std::vector<std::int64_t> sizes = lengths(400);
  const BatchSampler sampler(sizes, {.batch = 8});
  manual_seed(1);
  const auto first = samples_of(sampler.epoch()), second = samples_of(sampler.epoch());
  manual_seed(1);
  CHECK(samples_of(sampler.epoch()) == first);
  CHECK(first != second);
  const BatchSampler bucketed(sizes, {.batch = 8, .bucket = 10});
  CHECK(padding(bucketed.epoch(), sizes) * 3 < padding(sampler.epoch(), sizes));
  CHECK_THROWS_AS(BatchSampler(sizes, {.batch = 0}), ShapeError);
  CHECK_THROWS_AS(BatchSampler({3, -1}, {}), ShapeError);
  CHECK(BatchSampler({}, {.largest_first = true}).epoch().empty());
}

TEST_CASE("padded: every sample, followed by the value") {
  const Tensor a = tensor(std::vector<float>{1, 2, 3, 4}, {2, 2}), b = tensor(std::vector<float>{5, 6}, {2, 1});
  const Tensor batch = padded(std::vector{a, b}, 3, -1);
  CHECK(batch.shape() == Shape{2, 2, 3});
  CHECK(batch.values<float>() == std::vector<float>{1, 2, -1, 3, 4, -1, 5, -1, -1, 6, -1, -1});
  CHECK(batch.array().storage()->category() == memory::Category::input);
  CHECK_THROWS_AS(padded(std::vector{a, b}, 1), ShapeError);
  CHECK_THROWS_AS(padded(std::vector{a, tensor(std::vector<float>{5}, {1, 1})}, 3), ShapeError);
  CHECK_THROWS_AS(padded({}, 3), ShapeError);
}

TEST_CASE("the order of sizes decides what is reserved: ascending is worst, the largest first needs least") {
  const std::vector<std::int64_t> sizes = lengths(96);
  const auto reserved = [&](const SamplerOptions& options) {
    const Device device = Device::open("virtual:cpu");
    const DeviceScope scope(device);
    manual_seed(5);
    Sequential net(Conv1d({.in = 4, .out = 256, .kernel = 5, .padding = 2}), BatchNorm1d({.channels = 256}), GELU(),
                   Conv1d({.in = 256, .out = 256, .kernel = 5, .padding = 2}), GELU(), AvgPool1d({.kernel = 4}));
    for (const SampleBatch& batch : BatchSampler(sizes, options).epoch()) {
      std::vector<Tensor> samples;
      for (const std::int64_t sample : batch.samples)
        samples.push_back(zeros({4, sizes[static_cast<std::size_t>(sample)]}));
      const Tensor x = padded(samples, batch.size);
      samples.clear();
      sum(net(x)).backward();
      for (Tensor& parameter : net.parameters()) parameter.zero_grad();
    }
    return device.allocator().statistics().reserved_bytes.all.peak;
  };
  const auto ascending = reserved({.batch = 8, .order = Order::ascending});
  const auto descending = reserved({.batch = 8, .order = Order::descending});
  const auto shuffled = reserved({.batch = 8, .bucket = 12});
  const auto warmed = reserved({.batch = 8, .bucket = 12, .largest_first = true});
  MESSAGE("reserved: ascending ", ascending, ", shuffled ", shuffled, ", largest first ", warmed, ", descending ",
          descending);
  CHECK(ascending > shuffled);
  CHECK(shuffled > warmed);
  CHECK(warmed == descending);
}
