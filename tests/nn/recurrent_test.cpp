// LSTMs of several layers and GRUs. Against PyTorch (fixtures/make_recurrent.py), and in bytes.
#include <doctest/doctest.h>

#include <string>

#include <mnemo/autograd/autocast.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/recurrent.h>

#include "nn/fixtures/torch_recurrent.h"
#include "nn/visit_completeness.h"
#include "torch_numbers.h"

using namespace mnemo;

namespace {

void compare(const std::string& name, const Tensor& x) {
  CAPTURE(name);
  check_as_torch(x.values<double>(), kTorchRecurrent.at(name));
}

/// The first output takes the upstream gradient.
void compare(const std::string& name, const std::vector<Tensor>& outputs, const std::vector<Tensor>& leaves) {
  outputs[0].backward(torch_numbers(99, outputs[0].shape()));
  for (std::size_t i = 0; i < outputs.size(); ++i) compare(name + "." + std::to_string(i), outputs[i]);
  for (std::size_t i = 0; i < leaves.size(); ++i) compare(name + ".grad" + std::to_string(i), leaves[i].grad());
}

/// In float64, every parameter being torch_numbers(its place among them).
template <class Layer>
Layer numbered(int layers, bool bidirectional = false) {
  Layer layer({.in = 3, .hidden = 2, .layers = layers, .bidirectional = bidirectional});
  layer.to(DType::float64);
  const NoGradScope no_grad;
  std::int64_t seed = 0;
  for (Tensor& parameter : layer.parameters()) copy_(parameter, torch_numbers(seed++, parameter.shape()));
  return layer;
}

std::vector<Tensor> with(std::vector<Tensor> list, const std::vector<Tensor>& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

memory::Bytes saved(const Device& device) {
  return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
}

}  // namespace

TEST_CASE("PyTorch agrees: two layers of an LSTM from a state, one from zeros") {
  auto two = numbered<nn::LSTM>(2);
  const Tensor x = torch_numbers(20, {2, 3, 3}, true);
  const nn::LSTM::State before{torch_numbers(21, {2, 2, 2}, true), torch_numbers(22, {2, 2, 2}, true)};
  const nn::LSTM::Result result = two(x, before);
  compare("lstm_of_two", {result.outputs, result.state.h, result.state.c},
          with(two.parameters(), {x, before.h, before.c}));
  auto one = numbered<nn::LSTM>(1);
  const Tensor y = torch_numbers(20, {2, 3, 3}, true);
  compare("lstm_from_zeros", {one(y)}, with(one.parameters(), {y}));
}

TEST_CASE("PyTorch agrees: two layers of a GRU from a state, one from zeros") {
  auto two = numbered<nn::GRU>(2);
  const Tensor x = torch_numbers(20, {2, 3, 3}, true), before = torch_numbers(21, {2, 2, 2}, true);
  const nn::GRU::Result result = two(x, before);
  compare("gru_of_two", {result.outputs, result.state}, with(two.parameters(), {x, before}));
  auto one = numbered<nn::GRU>(1);
  const Tensor y = torch_numbers(20, {2, 3, 3}, true);
  compare("gru_from_zeros", {one(y)}, with(one.parameters(), {y}));
}

TEST_CASE("PyTorch agrees: an LSTM and a GRU in both directions") {
  auto two = numbered<nn::LSTM>(2, true);
  const Tensor x = torch_numbers(20, {2, 3, 3}, true);
  const nn::LSTM::State before{torch_numbers(21, {4, 2, 2}, true), torch_numbers(22, {4, 2, 2}, true)};
  const nn::LSTM::Result result = two(x, before);
  compare("lstm_of_two_both_ways", {result.outputs, result.state.h, result.state.c},
          with(two.parameters(), {x, before.h, before.c}));
  auto one = numbered<nn::LSTM>(1, true);
  const Tensor y = torch_numbers(20, {2, 3, 3}, true);
  compare("lstm_from_zeros_both_ways", {one(y)}, with(one.parameters(), {y}));
  auto units = numbered<nn::GRU>(2, true);
  const Tensor z = torch_numbers(20, {2, 3, 3}, true), state = torch_numbers(21, {4, 2, 2}, true);
  const nn::GRU::Result found = units(z, state);
  compare("gru_of_two_both_ways", {found.outputs, found.state}, with(units.parameters(), {z, state}));
  auto unit = numbered<nn::GRU>(1, true);
  const Tensor v = torch_numbers(20, {2, 3, 3}, true);
  compare("gru_from_zeros_both_ways", {unit(v)}, with(unit.parameters(), {v}));
}

TEST_CASE("the way back of a recurrent layer is the way there of its places turned around") {
  manual_seed(3);
  nn::GRU both({.in = 3, .hidden = 4, .bidirectional = true}), single({.in = 3, .hidden = 4});
  single.layers[0] = both.layers[1];
  const Tensor x = randn({2, 7, 3});
  const nn::GRU::Result result = both(x, Tensor()), turned = single(flip(x, {1}), Tensor());
  CHECK(slice(result.outputs, 2, 4, 8).values<float>() == flip(turned.outputs, {1}).values<float>());
  CHECK(select(result.state, 0, 1).values<float>() == turned.state.values<float>());
  CHECK(result.outputs.array().is_contiguous());
}

TEST_CASE("a GRU goes on from the state that it gives") {
  manual_seed(1);
  nn::GRU gru({.in = 3, .hidden = 4, .layers = 3});
  const Tensor x = randn({2, 7, 3});
  const auto whole = gru(x, Tensor());
  const auto first = gru(slice(x, 1, 0, 4), Tensor());
  const auto rest = gru(slice(x, 1, 4, 7), first.state);
  CHECK(concat({first.outputs, rest.outputs}, 1).values<float>() == whole.outputs.values<float>());
  CHECK(rest.state.values<float>() == whole.state.values<float>());
  CHECK(whole.state.shape() == Shape{3, 2, 4});
}

TEST_CASE("recurrent layers have PyTorch's names and shapes, name all that they hold, and say what does not fit") {
  nn::GRU gru({.in = 3, .hidden = 4, .layers = 2});
  std::vector<std::string> names;
  for (const nn::NamedTensor& named : gru.named_parameters())
    names.push_back(named.name + ' ' + named.tensor.shape().text());
  CHECK(names == std::vector<std::string>{"weight_ih_l0 (12, 3)", "weight_hh_l0 (12, 4)", "bias_ih_l0 (12)",
                                          "bias_hh_l0 (12)", "weight_ih_l1 (12, 4)", "weight_hh_l1 (12, 4)",
                                          "bias_ih_l1 (12)", "bias_hh_l1 (12)"});
  nn::LSTM lstm({.in = 3, .hidden = 4, .bias = false});
  CHECK(lstm.named_parameters()[0].name == "weight_ih_l0");
  CHECK(lstm.named_parameters()[1].tensor.shape() == Shape{16, 4});
  CHECK(lstm.parameters().size() == 2);
  nn::LSTM both({.in = 3, .hidden = 4, .bias = false, .layers = 2, .bidirectional = true});
  names.clear();
  for (const nn::NamedTensor& named : both.named_parameters())
    names.push_back(named.name + ' ' + named.tensor.shape().text());
  CHECK(names == std::vector<std::string>{"weight_ih_l0 (16, 3)", "weight_hh_l0 (16, 4)",
                                          "weight_ih_l0_reverse (16, 3)", "weight_hh_l0_reverse (16, 4)",
                                          "weight_ih_l1 (16, 8)", "weight_hh_l1 (16, 4)",
                                          "weight_ih_l1_reverse (16, 8)", "weight_hh_l1_reverse (16, 4)"});
  const nn::LSTM::State of_one{randn({2, 2, 4}), Tensor()};
  CHECK_THROWS_WITH_AS(both(randn({2, 5, 3}), of_one),
                       doctest::Contains("state (2, 2, 4) for input (2, 5, 3) must be (4, 2, 4)"), ShapeError);
  check_visit_is_complete("LSTM both ways",
                          [] { return nn::LSTM({.in = 3, .hidden = 4, .layers = 2, .bidirectional = true}); });
  check_visit_is_complete("LSTM", [] { return nn::LSTM({.in = 3, .hidden = 4, .layers = 2}); });
  check_visit_is_complete("GRU", [] { return nn::GRU({.in = 3, .hidden = 4, .layers = 2}); });
  check_visit_is_complete("GRU without bias", [] { return nn::GRU({.in = 3, .hidden = 4, .bias = false}); });
  CHECK_THROWS_AS(nn::GRU({.in = 0, .hidden = 4}), ShapeError);
  CHECK_THROWS_WITH_AS(nn::GRU({.in = 3, .hidden = 4, .layers = 0}),
                       doctest::Contains("[GRU] in 3, hidden 4 and layers 0"), ShapeError);
  CHECK_THROWS_AS(nn::LSTM({.in = 3, .hidden = 4, .dropout = 1.5}), ShapeError);
  CHECK_THROWS_WITH_AS(gru(randn({2, 3})), doctest::Contains("[gru] input (2, 3) must be (N, L, 3)"), ShapeError);
  CHECK_THROWS_WITH_AS(gru(randn({2, 5, 3}), randn({2, 4})),
                       doctest::Contains("state (2, 4) for input (2, 5, 3) must be (2, 2, 4)"), ShapeError);
}

TEST_CASE("dropout between layers: while training, not behind the last one, and new with every place") {
  manual_seed(2);
  nn::LSTM lstm({.in = 3, .hidden = 8, .layers = 2, .dropout = 1});
  const Tensor x = randn({2, 4, 3}), other = randn({2, 4, 3});
  // Nothing of the input reaches the second layer, whose own result is not dropped.
  CHECK(lstm(x).values<float>() == lstm(other).values<float>());
  CHECK(lstm(x).values<float>() != std::vector<float>(2 * 4 * 8, 0));
  lstm.eval();
  CHECK(lstm(x).values<float>() != lstm(other).values<float>());
  nn::GRU single({.in = 3, .hidden = 8, .dropout = 1});
  CHECK(single(x).values<float>() != single(other).values<float>());
}

TEST_CASE("dropout between layers in both directions takes of both") {
  manual_seed(5);
  nn::GRU gru({.in = 3, .hidden = 8, .layers = 2, .dropout = 1, .bidirectional = true});
  CHECK(gru(randn({2, 4, 3})).values<float>() == gru(randn({2, 4, 3})).values<float>());
  gru.eval();
  CHECK(gru(randn({2, 4, 3})).values<float>() != gru(randn({2, 4, 3})).values<float>());
}

TEST_CASE("what recurrent layers keep, by their docs, on the CPU as on the virtual one") {
  const std::int64_t n = 8, length = 10, hidden = 64;
  std::vector<memory::Bytes> peaks;
  for (const char* name : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(name);
    const DeviceScope scope(device);
    for (const int layers : {1, 2}) {
      {
        nn::LSTM lstm({.in = 32, .hidden = hidden, .layers = layers});
        const Tensor x = randn({n, length, 32}), y = lstm(x);
        // Four gates, c and h; what a layer gives to the next one is its h.
        CHECK(saved(device) == layers * 6 * length * n * hidden * 4);
        sum(y).backward();
      }
      nn::GRU gru({.in = 32, .hidden = hidden, .layers = layers});
      const Tensor x = randn({n, length, 32}), y = gru(x);
      // r, z, n, what the state gives to n, and h.
      CHECK(saved(device) == layers * 5 * length * n * hidden * 4);
      sum(y).backward();
    }
    {
      // Of each layer twice that, and of each place both h side by side, as the second layer takes them.
      nn::LSTM lstm({.in = 32, .hidden = hidden, .layers = 2, .bidirectional = true});
      const Tensor x = randn({n, length, 32}), y = lstm(x);
      CHECK(saved(device) == (2 * 2 * 6 + 2) * length * n * hidden * 4);
      sum(y).backward();
    }
    {
      nn::GRU gru({.in = 32, .hidden = hidden, .layers = 2, .bidirectional = true});
      const Tensor x = randn({n, length, 32}), y = gru(x);
      CHECK(saved(device) == (2 * 2 * 5 + 2) * length * n * hidden * 4);
      sum(y).backward();
    }
    peaks.push_back(device.allocator().peak().allocated);
  }
  CHECK(peaks[0] == peaks[1]);
}

TEST_CASE("a GRU under autocast computes in the half type, from zeros as from no state") {
  for (const bool bias : {false, true}) {
    CAPTURE(bias);
    manual_seed(4);
    nn::GRU gru({.in = 3, .hidden = 4, .bias = bias, .layers = 2});
    const Tensor x = randn({2, 5, 3}), none = zeros({2, 2, 4}, {.dtype = DType::bfloat16});
    const AutocastScope autocast(DType::bfloat16);
    const nn::GRU::Result plain = gru(x, Tensor()), zero = gru(x, none);
    for (const Tensor& part : {plain.outputs, plain.state}) CHECK(part.dtype() == DType::bfloat16);
    CHECK(plain.outputs.values<double>() == zero.outputs.values<double>());
    sum(plain.outputs).backward();
    for (const Tensor& parameter : gru.parameters()) CHECK(parameter.grad().dtype() == DType::float32);
  }
}
