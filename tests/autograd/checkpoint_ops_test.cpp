// Operations that compute in backward what they did not keep, inside a region that runs again.
#include <doctest/doctest.h>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;

namespace {

struct Leaves {
  Tensor table, weight, bias, scale, shift, kernel;

  std::vector<Tensor> all() const { return {table, weight, bias, scale, shift, kernel}; }
};

Leaves leaves() {
  manual_seed(6);
  const TensorOptions options{.requires_grad = true};
  return {randn({20, 8}, options), randn({8}, options), randn({8}, options),
          randn({6}, options),     randn({6}, options), randn({6, 4, 3}, options)};
}

/// (3, 6) indices -> (3, 4, 17)
Tensor net(const Leaves& p, const Tensor& index) {
  const Tensor x = layer_norm(embedding(p.table, index), {8}, p.weight, p.bias);
  const Tensor y = group_norm(where(greater(x, 0), x, x * 0.1), 3, p.scale, p.shift);
  const std::vector<Tensor> halves = chunk(y, 2, 2);
  const Tensor joined = concat({halves[1], halves[0] / (norm(y, {1, 2}, true) + 1)}, 2);
  return conv_transpose1d(pad(joined, {{0, 1}}), p.kernel, {}, {.stride = 2, .padding = 1}) * variance(y);
}

std::vector<std::vector<float>> gradients(bool checkpointed) {
  const Leaves p = leaves();
  const Tensor index = randint(0, 20, {3, 6});
  const Tensor y = checkpointed ? checkpoint([&](const Tensor& given) { return net(p, given); }, index) : net(p, index);
  CHECK(y.shape() == Shape{3, 4, 17});
  smooth_l1_loss(y, zeros(y.shape())).backward();
  std::vector<std::vector<float>> result;
  for (const Tensor& leaf : p.all()) result.push_back(leaf.grad().values<float>());
  return result;
}

}  // namespace

TEST_CASE("embedding, norms of rows, where, parts and transposed convolutions in a checkpointed region: equal bits") {
  const auto plain = gradients(false), again = gradients(true);
  REQUIRE(plain.size() == again.size());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    CAPTURE(i);
    CHECK(plain[i] == again[i]);
  }
}

TEST_CASE("the same region keeps no activation but its result") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Leaves p = leaves();
  const Tensor index = randint(0, 20, {3, 6});
  const auto saved = [&] {
    return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
  };
  const Tensor plain = net(p, index);
  CHECK(saved() > 4096);
  const memory::Bytes before = saved();
  const Tensor y = checkpoint([&](const Tensor& given) { return net(p, given); }, index);
  CHECK(saved() == before);  // the index is kept by both
}
