// lstm and gru against loops in float64 and finite differences, and what is special about them: two results of one
// operation, steps whose gates are not all there, gradients in the memory of gates.
#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/ops_recurrent.h>
#include <mnemo/core/error.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

struct Sizes {
  std::int64_t count, places, in, hidden;
};

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

/// Row `row` of `weight` times the numbers, and the bias, if there is one.
double given(const Plain& weight, const Plain* bias, std::int64_t row, const std::vector<double>& numbers) {
  double sum = bias != nullptr ? bias->at({row}) : 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) sum += weight.at({row, static_cast<std::int64_t>(i)}) * numbers[i];
  return sum;
}

/// By the formulas of the docs, unit by unit: h of all places, and behind them c, as the row's operation gives them.
/// `x`: input, weight_ih, weight_hh, then the biases and h and c, where there are such.
Plain reference(const Sizes& s, bool lstm, bool bias, bool state, bool reverse, const Plains& x) {
  const Plain *bias_ih = bias ? &x[3] : nullptr, *bias_hh = bias ? &x[4] : nullptr;
  const std::size_t at_state = bias ? 5 : 3;
  Plain result({s.count, s.places + (lstm ? 1 : 0), s.hidden});
  for (std::int64_t n = 0; n < s.count; ++n) {
    std::vector<double> h(static_cast<std::size_t>(s.hidden)), c(h.size());
    for (std::int64_t j = 0; j < s.hidden && state; ++j) {
      h[static_cast<std::size_t>(j)] = x[at_state].at({n, j});
      if (lstm) c[static_cast<std::size_t>(j)] = x[at_state + 1].at({n, j});
    }
    for (std::int64_t step = 0; step < s.places; ++step) {
      const std::int64_t place = reverse ? s.places - 1 - step : step;
      std::vector<double> input;
      for (std::int64_t i = 0; i < s.in; ++i) input.push_back(x[0].at({n, place, i}));
      const std::vector<double> before = h;
      for (std::int64_t j = 0; j < s.hidden; ++j) {
        const auto a = [&](int gate) { return given(x[1], bias_ih, gate * s.hidden + j, input); };
        const auto b = [&](int gate) { return given(x[2], bias_hh, gate * s.hidden + j, before); };
        double &h_now = h[static_cast<std::size_t>(j)], &c_now = c[static_cast<std::size_t>(j)];
        if (lstm) {
          c_now = sigmoid_of(a(1) + b(1)) * c_now + sigmoid_of(a(0) + b(0)) * std::tanh(a(2) + b(2));
          h_now = sigmoid_of(a(3) + b(3)) * std::tanh(c_now);
        } else {
          const double r = sigmoid_of(a(0) + b(0)), z = sigmoid_of(a(1) + b(1)), candidate = std::tanh(a(2) + r * b(2));
          h_now = (1 - z) * candidate + z * before[static_cast<std::size_t>(j)];
        }
        result.at({n, place, j}) = h_now;
      }
    }
    for (std::int64_t j = 0; j < s.hidden && lstm; ++j) result.at({n, s.places, j}) = c[static_cast<std::size_t>(j)];
  }
  return result;
}

OpRow recurrent_row(const Sizes& s, bool lstm, bool bias, bool state, bool reverse, const Sizes& large = {}) {
  const auto inputs = [=](const Sizes& sizes) {
    const std::int64_t columns = (lstm ? 4 : 3) * sizes.hidden;
    std::vector<Input> list{{{sizes.count, sizes.places, sizes.in}}, {{columns, sizes.in}}, {{columns, sizes.hidden}}};
    if (bias) list.insert(list.end(), {{{columns}}, {{columns}}});
    for (int part = 0; part < (lstm ? 2 : 1) && state; ++part) list.push_back({{sizes.count, sizes.hidden}});
    return list;
  };
  OpRow row{std::string(lstm ? "lstm" : "gru") + (bias ? " bias" : "") + (state ? " state" : "") +
                (reverse ? " reverse " : " ") + Shape{s.count, s.places, s.in, s.hidden}.text(),
            inputs(s),
            [=](const Tensors& x) {
              RecurrentWeights weights{x[1], x[2], {}, {}};
              if (bias) weights.bias_ih = x[3], weights.bias_hh = x[4];
              const std::size_t at = bias ? 5 : 3;
              const Tensor h = state ? x[at] : Tensor();
              if (!lstm) return gru(x[0], h, weights, reverse);
              const LstmResult result = mnemo::lstm(x[0], h, state ? x[at + 1] : Tensor(), weights, reverse);
              return concat({result.h, unsqueeze(result.c, 1)}, 1);
            },
            [=](const Plains& x) { return reference(s, lstm, bias, state, reverse, x); }};
  if (large.count > 0) row.large = inputs(large);
  return row;
}

struct Weighted {
  Tensor x = randn({3, 5, 4}, {.requires_grad = true});
  RecurrentWeights weights{randn({24, 4}, {.requires_grad = true}), randn({24, 6}, {.requires_grad = true}),
                           randn({24}, {.requires_grad = true}), randn({24}, {.requires_grad = true})};

  std::vector<Tensor> leaves() const {
    return {x, weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh};
  }
  /// The gradients that there are, which are gone then.
  std::vector<std::vector<float>> take_gradients() const {
    std::vector<std::vector<float>> result;
    for (Tensor leaf : leaves()) {
      result.push_back(leaf.grad().defined() ? leaf.grad().values<float>() : std::vector<float>());
      leaf.zero_grad();
    }
    return result;
  }
};

}  // namespace

TEST_CASE("op rows: lstm and gru") {
  std::vector<OpRow> rows;
  for (const bool lstm : {true, false}) {
    rows.push_back(recurrent_row({2, 3, 3, 2}, lstm, true, true, false, {9, 4, 3, 300}));
    rows.push_back(recurrent_row({2, 3, 2, 3}, lstm, true, true, true));
    rows.push_back(recurrent_row({3, 2, 3, 2}, lstm, true, false, false));
    rows.push_back(recurrent_row({3, 4, 1, 2}, lstm, false, false, true));
    rows.push_back(recurrent_row({2, 2, 2, 2}, lstm, false, true, false));
    rows.push_back(recurrent_row({1, 1, 2, 3}, lstm, true, false, false));
    rows.push_back(recurrent_row({2, 1, 2, 1}, lstm, true, true, true));
  }
  check(rows);
}

TEST_CASE("gradients of an LSTM's c alone, of h alone, and of both add up, and twice they are the same") {
  manual_seed(1);
  const Weighted w;
  const LstmResult result = lstm(w.x, {}, {}, w.weights);
  const auto gradients = [&](const Tensor& loss) {
    loss.backward({}, true);
    return w.take_gradients();
  };
  const Tensor of_h = sum(result.h * result.h), of_c = sum(result.c * result.c), both = of_h + of_c;
  const auto h = gradients(of_h), c = gradients(of_c), all = gradients(both);
  CHECK(gradients(of_h) == h);  // nothing is left of the gradient of c
  CHECK(gradients(both) == all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all[i].size(); ++j)
      CHECK(all[i][j] == doctest::Approx(h[i][j] + c[i][j]).epsilon(1e-4).scale(1));
  }
}

TEST_CASE("a gradient of an LSTM's c that a failed backward left behind counts in no later one") {
  manual_seed(1);
  const Weighted w;
  const LstmResult result = lstm(w.x, {}, {}, w.weights);
  const Tensor of_h = sum(result.h), of_c = sum(result.c);
  of_h.backward({}, true);
  const auto expected = w.take_gradients();
  Tensor h = result.h;
  // Runs once c has handed its gradient over, before h takes it.
  bool stops = true;
  h.register_hook([&stops](const Array&) -> Array {
    if (stops) throw std::runtime_error("stopped");
    return {};
  });
  CHECK_THROWS_WITH((of_h + of_c).backward({}, true), "stopped");
  stops = false;
  w.take_gradients();
  of_h.backward({}, true);
  CHECK(w.take_gradients() == expected);
}

TEST_CASE("backward overwrites the gates only where nobody needs them again") {
  manual_seed(2);
  for (const bool of_lstm : {true, false}) {
    Weighted w;
    if (!of_lstm) {
      w.weights = {randn({18, 4}, {.requires_grad = true}), randn({18, 6}, {.requires_grad = true}),
                   randn({18}, {.requires_grad = true}), randn({18}, {.requires_grad = true})};
    }
    const auto run = [&](const Tensor& x) { return of_lstm ? lstm(x, {}, {}, w.weights).h : gru(x, {}, w.weights); };
    sum(run(w.x)).backward();
    const auto expected = w.take_gradients();
    const Tensor loss = sum(run(w.x));
    loss.backward({}, true);
    CHECK(w.take_gradients() == expected);
    loss.backward();
    CHECK(w.take_gradients() == expected);
    sum(checkpoint(run, w.x)).backward();
    CHECK(w.take_gradients() == expected);
  }
}

TEST_CASE(
    "recurrent layers without gradients: all gates at once or those of one place, the same numbers, less memory") {
  manual_seed(3);
  const NoGradScope no_grad;
  // 8 sequences of 256 places with 4 * 160 gates: 1,310,720 elements are more than 2^20.
  const RecurrentWeights weights{randn({640, 3}), randn({640, 160}) * 0.1, randn({640}), randn({640})};
  const Tensor x = randn({8, 256, 3});
  const Device device("cpu");
  device.allocator().reset_peak();
  const memory::Bytes before = device.allocator().allocated();
  const LstmResult whole = lstm(x, {}, {}, weights);
  // h of all places and c; the gates of one place twice, from the input and from the state.
  CHECK(device.allocator().peak().allocated - before == (8 * 256 * 160 + 8 * 160 + 2 * 8 * 640) * 4);
  const LstmResult half = lstm(slice(x, 1, 0, 128), {}, {}, weights);
  const Tensor h = clone(select(half.h, 1, -1));
  const LstmResult rest = lstm(slice(x, 1, 128, 256), h, half.c, weights);
  const std::vector<float> found = concat({half.h, rest.h}, 1).values<float>(), expected = whole.h.values<float>();
  REQUIRE(found.size() == expected.size());
  float worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, std::abs(found[i] - expected[i]));
  CHECK(worst < 1e-5F);
}

TEST_CASE("frozen weights of a recurrent layer get no gradient, and what they alone need is not kept") {
  manual_seed(4);
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const auto kept = [&](bool of_x, bool of_weights) {
    const Tensor x = randn({3, 5, 4}, {.requires_grad = of_x});
    const RecurrentWeights weights{
        randn({24, 4}, {.requires_grad = of_weights}), randn({24, 6}, {.requires_grad = of_weights}), {}, {}};
    const Tensor y = lstm(x * 2, {}, {}, weights).h;
    const memory::Bytes bytes =
        device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
    sum(y).backward();
    CHECK(weights.weight_ih.grad().defined() == of_weights);
    CHECK(x.grad().defined() == of_x);
    return bytes;
  };
  const memory::Bytes all = kept(true, true), frozen = kept(true, false);
  CHECK(all - frozen >= 512);  // the 60 elements of x * 2
  CHECK(frozen > 0);
}

TEST_CASE("a batch of no sequences goes through recurrent layers there and back") {
  for (const char* name : {"cpu", "virtual:h200"}) {
    const DeviceScope scope(Device::open(name));
    Weighted w;
    w.x = zeros({0, 5, 4}, {.requires_grad = true});
    const LstmResult result = lstm(w.x, {}, zeros({0, 6}), w.weights);
    CHECK(result.h.shape() == Shape{0, 5, 6});
    CHECK(result.c.shape() == Shape{0, 6});
    sum(result.h).backward();
    CHECK(w.x.grad().shape() == Shape{0, 5, 4});
    if (std::string(name) == "cpu") CHECK(w.weights.weight_hh.grad().values<float>() == std::vector<float>(144, 0));
  }
}

TEST_CASE("recurrent layers say which shapes do not fit") {
  const Weighted w;
  CHECK_THROWS_WITH_AS(lstm(randn({3, 5, 3}), {}, {}, w.weights),
                       doctest::Contains("[lstm] input (3, 5, 3) and weight_ih (24, 4)"), ShapeError);
  CHECK_THROWS_WITH_AS(lstm(randn({3, 0, 4}), {}, {}, w.weights), doctest::Contains("with a place or more"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(lstm(w.x, randn({3, 5}), {}, w.weights),
                       doctest::Contains("state h (3, 5) for input (3, 5, 4) must be (3, 6)"), ShapeError);
  CHECK_THROWS_WITH_AS(lstm(w.x, {}, randn({2, 6}), w.weights), doctest::Contains("state c (2, 6)"), ShapeError);
  CHECK_THROWS_WITH_AS(gru(w.x, {}, w.weights),
                       doctest::Contains("weight_hh (24, 6) for input (3, 5, 4) must be (24, 8)"), ShapeError);
  RecurrentWeights other = w.weights;
  other.bias_hh = randn({23});
  CHECK_THROWS_WITH_AS(lstm(w.x, {}, {}, other), doctest::Contains("bias_hh (23)"), ShapeError);
  other.bias_hh = randn({24}, {.dtype = DType::float64});
  CHECK_THROWS_AS(lstm(w.x, {}, {}, other), DTypeError);
  other.weight_hh = Tensor();
  CHECK_THROWS_WITH(lstm(w.x, {}, {}, other), doctest::Contains("undefined"));
  CHECK_THROWS_AS(lstm(zeros({3, 5, 4}, {.dtype = DType::int64}), {}, {}, w.weights), DTypeError);
}
