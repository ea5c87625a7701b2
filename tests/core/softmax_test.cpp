#include <doctest/doctest.h>
#include <mnemo/core/families.h>

#include "numbers.h"

using namespace mnemo;
using namespace numbers;

namespace {

/// Offsets of the `size` elements of line (o, i) of (outer, size, inner).
std::vector<std::size_t> line_of(std::int64_t size, std::int64_t inner, std::int64_t o, std::int64_t i) {
  std::vector<std::size_t> result;
  for (std::int64_t s = 0; s < size; ++s) result.push_back(static_cast<std::size_t>((o * size + s) * inner + i));
  return result;
}

}  // namespace

TEST_CASE("softmax: forward and gradient agree with the definition") {
  Generator random(1);
  for (int round = 0; round < 200; ++round) {
    SoftmaxCall call{random.integer(0, 6), random.integer(1, 50), random.integer(1, 5), round % 2 == 0};
    if (round % 10 == 3) call.outer = random.integer(30, 70);  // more lines than are worked on at a time
    if (round % 10 == 7) call.inner = random.integer(30, 70);
    if (round % 4 == 1) call.inner = 1, call.rows = random.integer(1, 4), call.first = random.integer(0, 50);
    CAPTURE(call.rows);
    const DType dtype = random.one_of(kFloating);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(call.logarithm);
    const Shape shape{call.outer, call.size, call.inner};
    const Array x = random.array(shape, dtype, -20, 90), grad = random.array(shape, dtype);
    const auto xv = x.values<double>(), gv = grad.values<double>();
    std::vector<double> y(xv.size()), dx(xv.size()), size(xv.size()), dx_size(xv.size());
    Backend& backend = Device("cpu").backend();
    const Array result = unwritten(shape, dtype), gradient = unwritten(shape, dtype);
    backend.softmax(call, x, result);
    backend.softmax_gradient(call, grad, result, gradient);
    const auto rounded = result.values<double>();  // what the gradient is computed from
    for (std::int64_t o = 0; o < call.outer; ++o)
      for (std::int64_t i = 0; i < call.inner; ++i) {
        auto line = line_of(call.size, call.inner, o, i);
        // Of a causal row the first ones count; the others stay 0, and their gradient too.
        if (call.rows > 0) line.resize(std::min(line.size(), static_cast<std::size_t>(call.first + o % call.rows + 1)));
        double top = -1e300, sum = 0, dot = 0, dot_size = 0;
        for (const auto at : line) top = std::max(top, xv[at]);
        for (const auto at : line) sum += std::exp(xv[at] - top);
        for (const auto at : line) {
          y[at] = call.logarithm ? xv[at] - top - std::log(sum) : std::exp(xv[at] - top) / sum;
          size[at] = call.logarithm ? 100 : 10 * y[at];
          dot += gv[at] * (call.logarithm ? 1 : rounded[at]);
          dot_size += std::abs(gv[at]);
        }
        for (const auto at : line) {
          const double p = call.logarithm ? std::exp(rounded[at]) : rounded[at];
          dx[at] = call.logarithm ? gv[at] - p * dot : p * (gv[at] - dot);
          dx_size[at] = p * (1 + std::abs(gv[at]) + dot_size) + std::abs(gv[at]);
        }
      }
    CHECK(error_of(result, y, size) <= 1);
    CHECK(error_of(gradient, dx, dx_size) <= 1);
  }
}

TEST_CASE("softmax: an infinite logit on the low side has probability 0") {
  const double low = -std::numeric_limits<double>::infinity();
  const Array x = Array::from<double>({low, 0, 0}, {1, 3, 1}, "cpu"), y = unwritten({1, 3, 1}, DType::float64);
  Device("cpu").backend().softmax({1, 3, 1, false}, x, y);
  CHECK(y.values<double>() == std::vector<double>{0, 0.5, 0.5});
}

TEST_CASE("cross_entropy: losses and gradients agree with the definition") {
  Generator random(2);
  for (int round = 0; round < 200; ++round) {
    CrossEntropyCall call{random.integer(0, 6), random.integer(1, 50), random.integer(1, 5)};
    if (round % 10 == 3) call.outer = random.integer(30, 70);
    if (round % 10 == 7) call.inner = random.integer(30, 70);
    if (round % 2 == 0) call.label_smoothing = 0.2;
    if (round % 3 == 0) call.ignore_index = 0;
    const DType dtype = random.one_of(kFloating), wide = dtype == DType::float64 ? DType::float64 : DType::float32;
    CAPTURE(std::string(name(dtype)));
    CAPTURE(call.label_smoothing);
    CAPTURE(call.ignore_index);
    const Shape shape{call.outer, call.classes, call.inner}, per_loss{call.outer, call.inner};
    const Array logits = random.array(shape, dtype, -10, 10), grad = random.array(per_loss, wide);
    std::vector<std::int64_t> targets(static_cast<std::size_t>(per_loss.numel()));
    for (auto& target : targets)
      target = random.integer(0, 5) == 0 ? call.ignore_index : random.integer(0, call.classes - 1);
    const auto x = logits.values<double>(), g = grad.values<double>();
    std::vector<double> losses(targets.size()), dx(x.size()), dx_size(x.size()), loss_size(targets.size(), 40);
    for (std::int64_t o = 0; o < call.outer; ++o)
      for (std::int64_t i = 0; i < call.inner; ++i) {
        const auto at = static_cast<std::size_t>(o * call.inner + i);
        if (targets[at] == call.ignore_index) continue;
        const auto line = line_of(call.classes, call.inner, o, i);
        double sum = 0;
        for (const auto c : line) sum += std::exp(x[c]);
        for (std::size_t c = 0; c < line.size(); ++c) {
          const double wanted = (static_cast<std::int64_t>(c) == targets[at] ? 1 - call.label_smoothing : 0) +
                                call.label_smoothing / static_cast<double>(call.classes);
          const double p = std::exp(x[line[c]]) / sum;
          losses[at] -= wanted * std::log(p);
          dx[line[c]] = g[at] * (p - wanted);
          dx_size[line[c]] = std::abs(g[at]) * (4 * p + wanted);
        }
      }
    Backend& backend = Device("cpu").backend();
    const Array indices = Array::from<std::int64_t>(targets, per_loss, "cpu");
    const Array result = unwritten(per_loss, wide), gradient = unwritten(shape, dtype);
    backend.cross_entropy(call, logits, indices, result);
    backend.cross_entropy_gradient(call, grad, logits, indices, gradient);
    CHECK(error_of(result, losses, loss_size) <= 1);
    CHECK(error_of(gradient, dx, dx_size) <= 1);
    if (targets.empty()) continue;
    // A quarter of the gradient of the first loss, for all of them.
    const Array first = Array::from<double>({g[0]}, Shape{}, "cpu").to(wide);
    for (std::size_t o = 0; o < targets.size(); ++o) {
      const auto line = line_of(call.classes, call.inner, static_cast<std::int64_t>(o) / call.inner,
                                static_cast<std::int64_t>(o) % call.inner);
      for (const auto c : line) {
        dx[c] *= g[0] / g[o] / 4;
        dx_size[c] *= std::abs(g[0] / g[o]) / 4;
      }
    }
    call.scale = 0.25;
    backend.cross_entropy_gradient(call, first, logits, indices, gradient);
    CHECK(error_of(gradient, dx, dx_size) <= 1);
  }
}

TEST_CASE("cross_entropy: channels-last logits are read as they lie, and their gradient lies like them") {
  Generator random(3);
  const Array logits = random.array({3, 5, 4, 2}, DType::float32, -5, 5), last = logits.channels_last();
  const Array grad = random.array({3, 4, 2}, DType::float32);
  std::vector<std::int64_t> classes;
  for (int i = 0; i < 24; ++i) classes.push_back(random.integer(0, 4));
  const Array targets = Array::from<std::int64_t>(classes, {3, 4, 2}, "cpu");
  const CrossEntropyCall call = cross_entropy_problem(logits, targets, -100);
  const CrossEntropyCall by_places = cross_entropy_problem(last, targets, -100);
  CHECK(by_places.inner == 1);
  CHECK(cross_entropy(by_places, last, targets).values<float>() ==
        cross_entropy(call, logits, targets).values<float>());
  const Array gradient = cross_entropy_gradient(by_places, grad, last, targets);
  CHECK(gradient.is_channels_last());
  CHECK(gradient.contiguous().values<float>() == cross_entropy_gradient(call, grad, logits, targets).values<float>());
}

TEST_CASE(
    "cross_entropy: large logits neither overflow nor vanish; without smoothing an impossible class costs nothing") {
  const double low = -std::numeric_limits<double>::infinity();
  const Array logits = Array::from<float>({1000, 0, static_cast<float>(low)}, {1, 3, 1}, "cpu"),
              losses = unwritten({1, 1}, DType::float32);
  for (const auto& [target, loss] : {std::pair{0, 0.0}, std::pair{1, 1000.0}}) {
    Device("cpu").backend().cross_entropy({1, 3, 1}, logits, Array::from<std::int64_t>({target}, {1, 1}, "cpu"),
                                          losses);
    CHECK(losses.item() == loss);
  }
}

TEST_CASE("first_bad_index: the first outside the limit that is not ignored") {
  Backend& backend = Device("cpu").backend();
  auto first = [&](const std::vector<std::int64_t>& values, std::int64_t limit, std::int64_t ignore) {
    return backend.first_bad_index(Array::from<std::int64_t>(values, {static_cast<std::int64_t>(values.size())}, "cpu"),
                                   limit, ignore);
  };
  CHECK(!first({}, 3, -100));
  CHECK(!first({0, 2, -100, 1}, 3, -100));
  CHECK(first({0, 3, -1}, 3, -100) == 3);
  CHECK(first({0, -1, 3}, 3, -100) == -1);
}
