// Layers of sequences: attention, transformer blocks, LSTM. Against PyTorch (fixtures/make.py), and in bytes.
#include <doctest/doctest.h>

#include <string>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/checkpoint.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/attention.h>
#include <mnemo/nn/recurrent.h>

#include "nn/fixtures/torch_sequences.h"
#include "nn/visit_completeness.h"
#include "torch_numbers.h"

using namespace mnemo;

namespace {

/// A leaf of a layer: its gradient is compared too.
Tensor leaf(std::int64_t seed, const Shape& shape) { return torch_numbers(seed, shape, true); }

/// Every parameter of a model becomes torch_numbers(its place among them).
template <class M>
void number(M& model) {
  model.to(DType::float64);
  const NoGradScope no_grad;
  std::int64_t seed = 0;
  for (Tensor& parameter : model.parameters()) copy_(parameter, torch_numbers(seed++, parameter.shape()));
}

void compare(const std::string& name, const Tensor& x) {
  CAPTURE(name);
  check_as_torch(x.values<double>(), kTorchSequences.at(name));
}

/// The first output takes the upstream gradient.
void compare(const std::string& name, const std::vector<Tensor>& outputs, const std::vector<Tensor>& leaves) {
  outputs[0].backward(torch_numbers(99, outputs[0].shape()));
  for (std::size_t i = 0; i < outputs.size(); ++i) compare(name + "." + std::to_string(i), outputs[i]);
  for (std::size_t i = 0; i < leaves.size(); ++i) compare(name + ".grad" + std::to_string(i), leaves[i].grad());
}

void attention(const std::string& name, const std::vector<Shape>& shapes, const Tensor& mask = {},
               const AttentionOptions& options = {}) {
  const std::vector<Tensor> x{leaf(0, shapes[0]), leaf(1, shapes[1]), leaf(2, shapes[2])};
  compare(name, {scaled_dot_product_attention(x[0], x[1], x[2], mask, options)}, x);
}

memory::Bytes saved(const Device& device) {
  return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
}

}  // namespace

TEST_CASE("PyTorch agrees: scaled_dot_product_attention") {
  const std::vector<Shape> shapes{{2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 3}};
  attention("attention", shapes);
  attention("attention_causal", {{2, 4, 3}, {2, 4, 3}, {2, 4, 2}}, {}, {.causal = true});
  attention("attention_causal_longer", {{3, 3}, {5, 3}, {5, 2}}, {}, {.causal = true, .scale = 0.7});
  attention("attention_masked", shapes, greater(torch_numbers(7, {2, 1, 1, 5}), 0.0));
  attention("attention_added", shapes, torch_numbers(7, {2, 3, 5}));
}

TEST_CASE("PyTorch agrees: LSTM, from a state and from zeros") {
  nn::LSTM lstm({.in = 3, .hidden = 4});
  number(lstm);
  const Tensor x = leaf(20, {2, 5, 3}), h = leaf(21, {2, 4}), c = leaf(22, {2, 4});
  std::vector<Tensor> leaves = lstm.parameters();
  leaves.insert(leaves.end(), {x, h, c});
  const nn::LSTM::Result result = lstm(x, nn::LSTM::State{h, c});
  compare("lstm", {result.outputs, result.state.h, result.state.c}, leaves);
  nn::LSTM again({.in = 3, .hidden = 4});
  number(again);
  const Tensor y = leaf(20, {2, 5, 3});
  leaves = again.parameters();
  leaves.push_back(y);
  compare("lstm_from_zeros", {again(y)}, leaves);
}

TEST_CASE("PyTorch agrees: a transformer's block") {
  nn::TransformerBlock block({.features = 4, .heads = 2, .hidden = 6});
  number(block);
  const Tensor x = leaf(20, {2, 3, 4});
  const std::vector<Tensor> p = block.parameters();
  const Tensor y = block(x);
  y.backward(torch_numbers(99, y.shape()));
  compare("block.0", y);
  compare("block.grad0", x.grad());
  // PyTorch has the three projections in one parameter.
  compare("block.grad1", concat({p[2].grad(), p[4].grad(), p[6].grad()}, 0));
  compare("block.grad2", concat({p[3].grad(), p[5].grad(), p[7].grad()}, 0));
  const std::size_t rest[] = {0, 1, 8, 9, 10, 11, 12, 13, 14, 15};
  for (std::size_t i = 0; i < 10; ++i) compare("block.grad" + std::to_string(i + 3), p[rest[i]].grad());
}

TEST_CASE("attention to a context, with a mask of its keys: a sample's masked keys do not matter") {
  manual_seed(1);
  nn::MultiHeadAttention attention({.features = 6, .heads = 3, .context = 4});
  const Tensor x = randn({2, 5, 6}), context = randn({2, 4, 4});
  const Tensor mask = to(tensor<double>({1, 1, 0, 0, 1, 1, 1, 1}, {2, 1, 1, 4}), DType::boolean);
  const auto values = attention(x, context, mask).values<double>();
  Tensor other = context * 1.0;
  const NoGradScope no_grad;
  Tensor hidden = slice(slice(other, 0, 0, 1), 1, 2, 4);
  fill_(hidden, 100);
  CHECK(attention(x, other, mask).values<double>() == values);
  // Without it they do.
  CHECK(attention(x, other, Tensor()).values<double>() != values);
}

TEST_CASE("a causal block's places do not see those behind them") {
  manual_seed(2);
  nn::TransformerBlock block({.features = 8, .heads = 2, .causal = true});
  const Tensor x = randn({1, 6, 8});
  const auto values = block(x).values<double>(), first = block(slice(x, 1, 0, 4)).values<double>();
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(first[i] == doctest::Approx(values[i]).epsilon(1e-5));
}

TEST_CASE("layers of sequences name all that they hold, and say what does not fit") {
  check_visit_is_complete("MultiHeadAttention", [] { return nn::MultiHeadAttention({.features = 8, .heads = 2}); });
  check_visit_is_complete("TransformerBlock", [] { return nn::TransformerBlock({.features = 8, .heads = 2}); });
  check_visit_is_complete("LSTM", [] { return nn::LSTM({.in = 3, .hidden = 4}); });
  check_visit_is_complete("LSTM without bias", [] { return nn::LSTM({.in = 3, .hidden = 4, .bias = false}); });
  CHECK_THROWS_AS(nn::MultiHeadAttention({.features = 8, .heads = 3}), ShapeError);
  CHECK_THROWS_AS(nn::MultiHeadAttention({.features = 8, .heads = 2, .context = -1}), ShapeError);
  CHECK_THROWS_AS(nn::TransformerBlock({.features = 0}), ShapeError);
  CHECK_THROWS_AS(nn::LSTM({.in = 0, .hidden = 4}), ShapeError);
  nn::MultiHeadAttention attention({.features = 8, .heads = 2});
  CHECK_THROWS_AS(attention(randn({2, 3, 4})), ShapeError);
  CHECK_THROWS_AS(attention(randn({2, 3, 8}), randn({1, 3, 8}), Tensor()), ShapeError);
  nn::LSTM lstm({.in = 3, .hidden = 4});
  CHECK_THROWS_AS(lstm(randn({2, 3})), ShapeError);
  CHECK_THROWS_AS(lstm(randn({2, 0, 3})), ShapeError);
  CHECK_THROWS_AS(lstm(randn({2, 5, 3}), nn::LSTM::State{randn({2, 3}), {}}), ShapeError);
}

TEST_CASE("what an LSTM and attention keep, by their docs") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const std::int64_t n = 8, length = 10, hidden = 64;
  {
    nn::LSTM lstm({.in = 32, .hidden = hidden});
    const Tensor x = randn({n, length, 32});
    const Tensor y = lstm(x);
    // The four gates, c and h of every place.
    CHECK(saved(device) == 6 * length * n * hidden * 4);
  }
  {
    nn::MultiHeadAttention attention({.features = hidden, .heads = 4});
    const Tensor x = randn({n, length, hidden});
    const Tensor y = attention(x);
    CHECK(saved(device) == 4 * n * length * hidden * 4);  // queries, keys, values; what the heads found
  }
}

// With biases all of it was float32, from the bias of the first place on.
TEST_CASE("an LSTM under autocast computes in the half type, from zeros as from no state") {
  for (const bool bias : {false, true}) {
    CAPTURE(bias);
    manual_seed(4);
    nn::LSTM lstm({.in = 3, .hidden = 4, .bias = bias});
    const Tensor x = randn({2, 5, 3}), none = zeros({2, 4}, {.dtype = DType::bfloat16});
    const AutocastScope autocast(DType::bfloat16);
    const nn::LSTM::Result plain = lstm(x, nn::LSTM::State{}), zero = lstm(x, nn::LSTM::State{none, none});
    for (const Tensor& part : {plain.outputs, plain.state.h, plain.state.c}) CHECK(part.dtype() == DType::bfloat16);
    CHECK(plain.outputs.values<double>() == zero.outputs.values<double>());
    sum(plain.outputs).backward();
    for (const Tensor& parameter : lstm.parameters()) CHECK(parameter.grad().dtype() == DType::float32);
  }
}

TEST_CASE("a checkpointed block with dropout has the gradients of the plain one, bit for bit") {
  manual_seed(3);
  nn::TransformerBlock block({.features = 16, .heads = 4, .causal = true, .dropout = 0.2});
  const Tensor x = randn({2, 9, 16}, {.requires_grad = true});
  std::vector<std::vector<double>> gradients[2];
  for (const bool checkpointed : {false, true}) {
    for (Tensor& parameter : block.parameters()) parameter.set_grad({});
    manual_seed(4);
    const auto run = [&](const Tensor& input) { return block(input); };
    sum(pow(checkpointed ? checkpoint(run, x) : run(x), 2)).backward();
    for (const Tensor& parameter : block.parameters())
      gradients[checkpointed ? 1 : 0].push_back(parameter.grad().values<double>());
  }
  CHECK(gradients[0] == gradients[1]);
}

TEST_CASE("a transformer's block keeps sixteen arrays per place, in place ten, with the same gradients bit for bit") {
  struct Case {
    bool in_place, half;
    std::int64_t halves;  // of 2 bytes per value
  };
  // Of 64 features each: x and the sum behind the first half in float32; under autocast the rest in the half type, with
  // what a normalization made once, for all three projections.
  const std::int64_t n = 4, length = 32, features = 64, place = n * length;
  std::vector<std::vector<double>> gradients[2];
  for (const Case& c : {Case{false, false, 32}, Case{true, false, 20}, Case{false, true, 18}, Case{true, true, 12}}) {
    CAPTURE(c.in_place);
    CAPTURE(c.half);
    const auto kept = [&](const Device& device) {
      const DeviceScope scope(device);
      manual_seed(5);
      nn::TransformerBlock block({.features = features, .heads = 4});
      block.work_in_place(c.in_place);
      const Tensor x = randn({n, length, features}, {.device = device, .requires_grad = true}) * 1.0;
      const AutocastScope autocast({.enabled = c.half, .dtype = DType::bfloat16});
      const Tensor y = block(x);
      const memory::Bytes bytes = saved(device);
      sum(pow(y, 2)).backward();
      std::vector<std::vector<double>> found;
      for (const Tensor& parameter : block.parameters()) found.push_back(parameter.grad().values<double>());
      if (!device.backend().is_virtual()) {
        if (c.in_place)
          CHECK(found == gradients[c.half ? 1 : 0]);
        else
          gradients[c.half ? 1 : 0] = found;
      }
      return bytes;
    };
    CHECK(kept(Device::open("virtual:cpu")) == place * features * 2 * c.halves + 4 * place * 4);
    CHECK(kept(Device::open("cpu")) == place * features * 2 * c.halves + 4 * place * 4);
  }
}

TEST_CASE("attention under autocast keeps one half copy of its input for three projections") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  nn::MultiHeadAttention attention({.features = 64, .heads = 4});
  const Tensor x = randn({4, 32, 64}, {.requires_grad = true}) * 1.0, context = randn({4, 16, 64});
  const AutocastScope autocast(DType::bfloat16);
  const memory::Bytes places = 4 * 32 * 64 * 2, seen = places / 2;
  {
    const Tensor y = attention(x);
    CHECK(saved(device) == 5 * places);  // the copy, queries, keys, values, what the heads found
  }
  const Tensor y = attention(x, context, Tensor());
  CHECK(saved(device) == 3 * places + 3 * seen);
}
