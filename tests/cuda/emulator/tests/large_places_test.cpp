// Windows, indices, products and updates in arrays of more than 2^31 and 2^32 elements.
#include "large.h"

#include <mnemo/core/conv.h>

using namespace mnemo;
using large::at;
using large::Card;
using large::k2To31;
using large::k2To32;
using large::kCount;

namespace {

constexpr DType kHalf = DType::bfloat16;

/// For kernels whose blocks have one short piece each.
std::vector<double> many_blocks() {
  std::vector<double> shares;
  for (int i = 0; i <= 70; ++i) shares.push_back(i / 70.0);
  return shares;
}

/// Windows of 2 x 2 over one plane, or over many places of `inner` channels.
struct Windows {
  PoolProblem problem;
  std::int64_t inputs, outputs;

  Windows(PoolProblem::Kind kind, std::int64_t height, std::int64_t width, std::int64_t inner) {
    problem = {.kind = kind, .inner = inner, .in = {1, height, width}, .kernel = {1, 2, 2}};
    problem.out = {1, height / 2, width / 2};
    problem.stride = {1, 2, 2};
    outputs = height / 2 * (width / 2) * inner;
    inputs = height * width * inner;
  }
  /// The input that output i sees at (y, x) of its window.
  std::int64_t place(std::int64_t i, std::int64_t y, std::int64_t x) const {
    const std::int64_t channel = i % problem.inner, out = i / problem.inner;
    const std::int64_t row = out / problem.out[2] * 2 + y, column = out % problem.out[2] * 2 + x;
    return (row * problem.in[2] + column) * problem.inner + channel;
  }
  /// The output that sees input i.
  std::int64_t seen_by(std::int64_t i) const {
    const std::int64_t channel = i % problem.inner, in = i / problem.inner;
    return (in / problem.in[2] / 2 * problem.out[2] + in % problem.in[2] / 2) * problem.inner + channel;
  }
};

}  // namespace

TEST_CASE("cuda: large: pooling with the channels outside and innermost, and its gradient") {
  for (const std::int64_t inner : {1, 7, 8}) {
    for (const auto kind : {PoolProblem::Kind::max, PoolProblem::Kind::average}) {
      if (inner == 7 && kind == PoolProblem::Kind::average) continue;
      // With 8 channels a place has as many packs as can be counted in 32 bits, of more elements than that.
      const Windows w(kind, inner == 8 ? 1 << 14 : 65536, inner == 1 ? 65552 : inner == 7 ? 9376 : 1 << 15, inner);
      CAPTURE(inner);
      Card card;
      const Array x = card.numbers({w.inputs}, kHalf), y = card.zeros({w.outputs}, kHalf);
      const bool is_max = kind == PoolProblem::Kind::max;
      const Array offsets = is_max ? card.zeros({w.outputs}, DType::uint8) : Array();
      card.sample([&] { card.backend().pool(w.problem, x, y, offsets); });
      card.compare(y, [&](std::int64_t i) {
        double sum = 0, most = -9;
        for (const std::int64_t k : {w.place(i, 0, 0), w.place(i, 0, 1), w.place(i, 1, 0), w.place(i, 1, 1)})
          sum += at(x, k), most = std::max(most, at(x, k));
        return is_max ? most : sum / 4;
      });
      const Array taps = is_max ? card.zeros({w.outputs}, DType::uint8) : Array();  // the first of each window
      const Array g = card.numbers({w.outputs}, kHalf);
      card.sample([&] { card.backend().pool_gradient(w.problem, g, taps, x); });
      card.compare(x, [&](std::int64_t i) {
        const std::int64_t out = w.seen_by(i);
        return is_max ? (i == w.place(out, 0, 0) ? at(g, out) : 0) : at(g, out) / 4;
      });
    }
  }
}

TEST_CASE("cuda: large: images made smaller, with the channels outside and innermost, and the gradient") {
  for (const std::int64_t inner : {1, 7}) {
    const Windows w(PoolProblem::Kind::average, 65536, inner == 1 ? 65552 : 9376, inner);  // of which means are taken
    CAPTURE(inner);
    ResampleProblem problem{.inner = inner};
    for (std::size_t d = 1; d < 3; ++d)
      problem.axes[d] = Resampling<std::int64_t>(ResampleMode::linear, w.problem.in[d], w.problem.out[d]);
    Card card;
    const Array x = card.numbers({w.inputs}, kHalf), y = card.zeros({w.outputs}, kHalf);
    card.sample([&] { card.backend().resample(problem, x, y); });
    card.compare(y, [&](std::int64_t i) {
      double sum = 0;
      for (const std::int64_t k : {w.place(i, 0, 0), w.place(i, 0, 1), w.place(i, 1, 0), w.place(i, 1, 1)})
        sum += at(x, k);
      return sum / 4;
    });
    const Array g = card.numbers({w.outputs}, kHalf);
    card.sample([&] { card.backend().resample_gradient(problem, g, x); });
    card.compare(x, [&](std::int64_t i) { return at(g, w.seen_by(i)) / 4; });
  }
}

TEST_CASE("cuda: large: elements by number, from and to where 32 bits do not reach") {
  Card card;
  const std::vector<std::int64_t> places{0, 5, k2To31 - 1, k2To31, k2To32 - 1, k2To32, k2To32 + 5, kCount - 1};
  const auto count = static_cast<std::int64_t>(places.size());
  const Array index = Array::from(places, {count}, card.device());
  const Array x = card.numbers({kCount}, kHalf), found = card.zeros({count}, kHalf);
  card.backend().gather(x, 0, index, found);
  for (std::int64_t i = 0; i < count; ++i) CHECK(at(found, i) == at(x, places[static_cast<std::size_t>(i)]));
  const Array sums = card.zeros({kCount}, kHalf);
  card.backend().scatter_add(found, 0, index, sums);
  for (const std::int64_t place : places) CHECK(at(sums, place) == at(x, place));
  // More indices than 2^31.
  constexpr std::int64_t many = k2To31 + 4096;
  const Array first = card.zeros({many}, DType::int64), all = card.zeros({many}, kHalf);
  card.sample([&] { card.backend().gather(x, 0, first, all); });
  card.compare(all, [&](std::int64_t) { return at(x, 0); });
  card.sample([&] { card.backend().first_bad_index(first, 1, -1); });
  // Rows of many columns, each of which a thread owns.
  constexpr std::int64_t columns = (1 << 20) + 4, rows = 4100;
  const Array table = card.zeros({rows, columns}, kHalf), row = card.numbers({700, columns}, kHalf);
  const Array last = card.zeros({700, columns}, DType::int64);
  card.sample([&] { card.backend().scatter_add(row, 0, last, table); }, {0});
}

TEST_CASE("cuda: large: updates, scaling and norms") {
  Card card;
  const Array parameter = card.numbers({kCount}, kHalf), gradient = card.numbers({kCount}, kHalf);
  const Array before = card.numbers({kCount}, kHalf);
  UpdateCall sgd;
  sgd.lr = 0.5;
  card.sample(
      [&] { card.backend().update(sgd, std::vector<UpdateSlot>{{.parameter = parameter, .gradient = gradient}}); },
      many_blocks());
  card.compare(
      parameter, [&](std::int64_t i) { return at(before, i) - 0.5 * at(gradient, i); }, 1 << 26);
  const Array first = card.zeros({kCount}, kHalf), second = card.zeros({kCount}, kHalf);
  const Array adams = card.numbers({kCount}, kHalf);
  UpdateCall adam;
  adam.rule = UpdateCall::Rule::adam;
  adam.bias_correction1 = 0.1, adam.bias_correction2 = 0.001, adam.lr = 0.25;
  card.sample(
      [&] {
        card.backend().update(adam, std::vector<UpdateSlot>{{adams, gradient, first, second}});
      },
      many_blocks());
  card.compare(
      adams,
      [&](std::int64_t i) {
        return at(before, i) - (at(gradient, i) > 0 ? 0.25 : at(gradient, i) < 0 ? -0.25 : 0);
      },
      1 << 26, 0.03);
  const Array scale = Array::from(std::vector<float>{4}, {1}, card.device());
  const Array found = Array::from(std::vector<float>{0}, {1}, card.device());
  card.sample([&] { card.backend().unscale(std::vector<Array>{gradient}, scale, found); }, many_blocks());
  card.compare(
      gradient, [&](std::int64_t i) { return at(before, i) / 4; }, 1 << 26);
  card.sample([&] { card.backend().norm(std::vector<Array>{before}, 2, found); });
}

TEST_CASE("cuda: large: Adam with moments of 8 bits") {
  Card card;
  const Array parameter = card.numbers({kCount}, kHalf), before = card.numbers({kCount}, kHalf);
  const Array gradient = card.numbers({kCount}, kHalf);
  const Array first = card.zeros({kCount}, DType::uint8), second = card.zeros({kCount}, DType::uint8);
  const std::int64_t blocks = (kCount + kMomentBlock - 1) / kMomentBlock;
  const Array largest = card.zeros({blocks}, DType::float32), larger = card.zeros({blocks}, DType::float32);
  UpdateCall adam;
  adam.rule = UpdateCall::Rule::adam;
  adam.bias_correction1 = 0.1, adam.bias_correction2 = 0.001, adam.lr = 0.25;
  card.sample(
      [&] {
        card.backend().update(adam, std::vector<UpdateSlot>{{parameter, gradient, first, second, largest, larger}});
      },
      many_blocks());
  card.compare(
      parameter,
      [&](std::int64_t i) {
        return at(before, i) - (at(gradient, i) > 0 ? 0.25 : at(gradient, i) < 0 ? -0.25 : 0);
      },
      1 << 26, 0.03);
}

TEST_CASE("cuda: large: products with strides in both dimensions, and own convolutions") {
  Card card;
  constexpr std::int64_t batch = (1 << 21) + 5, side = 33;
  const Array a = card.numbers({batch, side, 64}, kHalf).slice(2, 0, 64, 2);
  const Array b = card.numbers({batch, 32, 2 * side}, kHalf).slice(2, 0, 2 * side, 2);
  const Array out = card.zeros({batch, side, side}, kHalf);
  card.sample([&] { card.backend().matmul({.a = a, .b = b, .out = out}); });
  const auto entry = [&](std::int64_t i) {
    const std::int64_t of = i / (side * side), row = i / side % side, column = i % side;
    double sum = 0;
    for (std::int64_t k = 0; k < 32; ++k)
      sum += at(a, (of * side + row) * 64 + 2 * k) * at(b, (of * 32 + k) * 2 * side + 2 * column);
    return sum;
  };
  card.compare(out, entry, batch * side * side, 0.05);

  ConvCall call;
  call.problem.dtype = kHalf;
  call.problem.in = {1, 65536, 65540};
  call.problem.out = {1, 65536, 65538};
  call.problem.kernel = {1, 1, 3};
  call.plan.algorithm = ConvAlgorithm::direct;
  const Array w = Array::from(std::vector<float>{1, 2, 4}, {3}, card.device()).to(kHalf);
  call.x = card.numbers({65536, 65540}, kHalf), call.y = card.zeros({65536, 65538}, kHalf), call.w = w;
  card.sample([&] { card.backend().conv(call); });
  card.compare(
      call.y,
      [&](std::int64_t i) {
        const std::int64_t from = i / 65538 * 65540 + i % 65538;
        return at(call.x, from) + 2 * at(call.x, from + 1) + 4 * at(call.x, from + 2);
      },
      1 << 26, 0.02);
}
