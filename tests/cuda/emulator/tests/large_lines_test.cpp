// Lines of arrays of more than 2^32 elements: reductions, softmax, losses, normalization, running sums.
#include "large.h"

using namespace mnemo;
using large::at;
using large::Card;
using large::kCount;

namespace {

constexpr DType kHalf = DType::bfloat16;
constexpr std::int64_t kLines = (1 << 22) + (1 << 17) + 3, kSize = 1024;

const std::vector<double> kThree = {0, 0.5, 1};  ///< blocks whose gaps are narrow enough

/// The sum of f over `count` elements from `first` on, `step` apart.
template <class F>
double sum_of(std::int64_t first, std::int64_t count, std::int64_t step, const F& f) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += f(first + i * step);
  return sum;
}

Array numbers(const Card& card, const std::vector<float>& values) {
  return Array::from(values, {static_cast<std::int64_t>(values.size())}, card.device());
}

}  // namespace

TEST_CASE("cuda: large: reductions of rows and columns") {
  Card card;
  const Array rows = card.numbers({kLines, kSize}, kHalf), sums = card.zeros({kLines, 1}, kHalf);
  card.sample([&] { card.backend().reduce(ReduceOp::sum, rows, 2, 1, sums); });
  card.compare(sums, [&](std::int64_t i) { return sum_of(i * kSize, kSize, 1, [&](auto k) { return at(rows, k); }); });
  const Array places = card.zeros({kLines, 1}, DType::int64);
  card.sample([&] { card.backend().arg_max(rows, 1, false, places); });
  card.compare(places, [&](std::int64_t i) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < kSize; ++k) best = at(rows, i * kSize + k) > at(rows, i * kSize + best) ? k : best;
    return static_cast<double>(best);
  });
  const Array columns = card.numbers({kSize, kLines + 5}, kHalf), across = card.zeros({1, kLines + 5}, kHalf);
  card.sample([&] { card.backend().reduce(ReduceOp::sum, columns, 1, 1, across); });
  card.compare(across,
               [&](std::int64_t i) { return sum_of(i, kSize, kLines + 5, [&](auto k) { return at(columns, k); }); });
}

TEST_CASE("cuda: large: reductions of few and long rows") {
  Card card;
  constexpr std::int64_t rows = 8000, size = (1 << 20) + 8;
  const Array x = card.numbers({rows, size}, kHalf), sums = card.zeros({rows, 1}, kHalf);
  card.sample([&] { card.backend().reduce(ReduceOp::max, x, 2, 1, sums); });
  card.compare(
      sums, [](std::int64_t) { return 2; }, rows, 0.02);
  // Blocks that share a result: where they read is judged, what the last one makes of it is not seen.
  const Array all = card.zeros({1, 1}, kHalf);
  card.sample([&] { card.backend().reduce(ReduceOp::sum, x, 3, 1, all); });
}

TEST_CASE("cuda: large: softmax, cross entropy and their gradients") {
  Card card;
  const SoftmaxCall call{.outer = kLines, .size = kSize};
  const Array x = card.numbers({kLines, kSize}, kHalf), g = card.numbers({kLines, kSize}, kHalf);
  const Array y = card.zeros({kLines, kSize}, kHalf);
  const auto exponentials = [&](std::int64_t line) {
    return sum_of(line * kSize, kSize, 1, [&](auto k) { return std::exp(at(x, k)); });
  };
  card.sample([&] { card.backend().softmax(call, x, y); }, kThree);
  card.compare(
      y, [&](std::int64_t i) { return std::exp(at(x, i)) / exponentials(i / kSize); }, 1 << 26, 1e-4);
  card.sample([&] { card.backend().softmax_gradient(call, g, x, y); }, kThree);
  card.compare(
      y,
      [&](std::int64_t i) {
        const double sum = sum_of(i / kSize * kSize, kSize, 1, [&](auto k) { return at(g, k) * at(x, k); });
        return at(x, i) * (at(g, i) - sum);
      },
      1 << 26, 0.03);
  const CrossEntropyCall losses{.outer = kLines, .classes = kSize};
  const Array targets = card.zeros({kLines}, DType::int64), each = card.zeros({kLines}, DType::float32);
  card.sample([&] { card.backend().cross_entropy(losses, x, targets, each); });
  card.compare(
      each, [&](std::int64_t i) { return std::log(exponentials(i)) - at(x, i * kSize); }, 1 << 17);
  const Array one = numbers(card, {1});
  card.sample([&] { card.backend().cross_entropy_gradient(losses, one, x, targets, y); }, kThree);
  card.compare(
      y, [&](std::int64_t i) { return std::exp(at(x, i)) / exponentials(i / kSize) - (i % kSize == 0 ? 1 : 0); },
      1 << 26, 1e-3);
}

TEST_CASE("cuda: large: normalization of rows and its gradient, sums along lines") {
  Card card;
  const RowNormSizes sizes{.rows = kLines, .features = kSize, .channels = kSize};
  const Array x = card.numbers({kLines, kSize}, kHalf), g = card.numbers({kLines, kSize}, kHalf);
  const Array y = card.zeros({kLines, kSize}, kHalf);
  const Array mean = card.zeros({kLines}, DType::float32), deviation = card.zeros({kLines}, DType::float32);
  const auto mean_of = [&](std::int64_t i, const auto& f) { return sum_of(i / kSize * kSize, kSize, 1, f) / kSize; };
  const auto center = [&](std::int64_t i) { return mean_of(i, [&](auto k) { return at(x, k); }); };
  const auto scale = [&](std::int64_t i) {
    return 1 / std::sqrt(mean_of(i, [&, c = center(i)](auto k) { return (at(x, k) - c) * (at(x, k) - c); }));
  };
  card.sample([&] { card.backend().row_norm({sizes, 0, x, {}, {}, y, mean, deviation}); }, kThree);
  card.compare(
      y, [&](std::int64_t i) { return (at(x, i) - center(i)) * scale(i); }, 1 << 26);
  card.sample([&] { card.backend().row_norm_gradient({sizes, g, x, {}, mean, deviation, y}); }, kThree);
  card.compare(
      y,
      [&](std::int64_t i) {
        const double c = center(i), s = scale(i);
        const double product = mean_of(i, [&](auto k) { return at(g, k) * (at(x, k) - c); });
        return s * (at(g, i) - mean_of(i, [&](auto k) { return at(g, k); }) - (at(x, i) - c) * s * s * product);
      },
      1 << 26, 0.02);
  // Blocks share a channel's sums: where they read is judged, what the last one makes of it is not seen.
  const Array dweight = card.zeros({kSize}, DType::float32), dbias = card.zeros({kSize}, DType::float32);
  card.sample(
      [&] {
        card.backend().row_norm_gradient({sizes, g, x, {}, mean, deviation, {}, dweight, dbias});
      },
      kThree);
  card.sample([&] { card.backend().cumsum(x, 1, false, y); }, kThree);
  card.compare(
      y, [&](std::int64_t i) { return sum_of(i / kSize * kSize, i % kSize + 1, 1, [&](auto k) { return at(x, k); }); },
      1 << 26);
}

TEST_CASE("cuda: large: sort of rows, and of parts of one") {
  Card card;
  {
    const Array x = card.numbers({kLines, kSize}, kHalf), places = card.zeros({kLines, kSize}, DType::int64);
    card.sample([&] { card.backend().sort({{kLines, kSize, kSize}, true, x, places}); });
    std::int64_t known = -1;
    std::vector<double> order(kSize);
    const auto find_order = [&](std::int64_t line) {
      for (std::int64_t k = 0; k < kSize; ++k) {
        std::size_t before = 0;
        for (std::int64_t j = 0; j < kSize; ++j) {
          const double own = at(x, line * kSize + k), other = at(x, line * kSize + j);
          before += other == own ? j < k : other > own;
        }
        order[before] = static_cast<double>(k);
      }
      known = line;
    };
    card.compare(places, [&](std::int64_t i) {
      if (i / kSize != known) find_order(i / kSize);
      return order[static_cast<std::size_t>(i % kSize)];
    });
  }
  // One row of more elements than 32 bits have places for: where the blocks of each step read and write is judged, not
  // what they make of what the others have left out. A block that orders a tile takes no two words to be equal, so they
  // are numbers; blocks that join runs take those to be in order, so they are zeros.
  const Array x = card.numbers({kCount}, kHalf);
  for (const std::int64_t count : {64, 1500}) {
    const Array places = card.zeros({count}, DType::int64);
    SortCall call{{1, kCount, count}, false, x, places};
    const Shape words{gpu_sort_workspace(call.sizes, kHalf) / 8};
    const Array room = count == 64 ? card.numbers(words, DType::float64) : card.zeros(words, DType::float64);
    call.workspace = Array(room.storage(), Layout::contiguous({room.bytes()}), DType::uint8);
    card.sample([&] { card.backend().sort(call); });
  }
}

TEST_CASE("cuda: large: gradients of weight and bias of planes in groups") {
  Card card;
  constexpr std::int64_t channels = 16900, inner = 1 << 18, groups = 130, count = channels * inner;
  const RowNormSizes sizes{.rows = groups, .features = count / groups, .channels = channels, .inner = inner};
  std::vector<float> means, deviations;
  for (std::int64_t row = 0; row < groups; ++row) {
    means.push_back(static_cast<float>(row % 5) / 4);
    deviations.push_back(static_cast<float>(row % 3 + 1) / 2);
  }
  const Array x = card.numbers({count}, kHalf), g = card.numbers({count}, kHalf);
  const Array mean = numbers(card, means), deviation = numbers(card, deviations);
  const Array dweight = card.zeros({channels}, DType::float32), dbias = card.zeros({channels}, DType::float32);
  const auto share = [](std::int64_t i) { return static_cast<double>(i) / static_cast<double>(count); };
  card.sample(
      [&] {
        card.backend().row_norm_gradient({sizes, g, x, {}, mean, deviation, {}, dweight, dbias});
      },
      {0, share(large::k2To31), share(large::k2To32), 1});
  card.compare(dweight, [&](std::int64_t c) {
    const auto row = static_cast<std::size_t>(c / (channels / groups));
    return sum_of(c * inner, inner, 1, [&](auto k) { return at(g, k) * (at(x, k) - means[row]) * deviations[row]; });
  });
  card.compare(dbias, [&](std::int64_t c) { return sum_of(c * inner, inner, 1, [&](auto k) { return at(g, k); }); });
}

TEST_CASE("cuda: large: batch normalization of planes and of points, and its gradient") {
  struct Sizes {
    std::int64_t batch, channels, inner;
  };
  // One block for each plane, or several for a few channels.
  for (const Sizes sizes : {Sizes{1, 16900, 1 << 18}, Sizes{kLines, kSize, 1}}) {
    Card card;
    const std::int64_t count = sizes.batch * sizes.channels * sizes.inner;
    const auto number_of = [&](std::int64_t i) { return i / sizes.inner % sizes.channels; };
    const auto share = [&](std::int64_t i) { return static_cast<double>(i) / static_cast<double>(count); };
    const std::vector<double> shares = {0, share(large::k2To31), share(large::k2To32), 1};
    std::vector<float> means, deviations;
    for (std::int64_t c = 0; c < sizes.channels; ++c) {
      means.push_back(static_cast<float>(c % 5) / 4);
      deviations.push_back(static_cast<float>(c % 3 + 1) / 2);
    }
    const Array x = card.numbers({count}, kHalf), g = card.numbers({count}, kHalf), y = card.zeros({count}, kHalf);
    const Array mean = numbers(card, means), deviation = numbers(card, deviations);
    NormalizeCall call{.batch = sizes.batch, .channels = sizes.channels, .inner = sizes.inner, .given = true};
    call.x = x, call.y = y, call.mean = mean, call.inverse_deviation = deviation;
    card.sample([&] { card.backend().normalize(call); }, shares);
    const auto center = [&](std::int64_t i) { return means[static_cast<std::size_t>(number_of(i))]; };
    const auto scale = [&](std::int64_t i) { return deviations[static_cast<std::size_t>(number_of(i))]; };
    card.compare(
        y, [&](std::int64_t i) { return (at(x, i) - center(i)) * scale(i); }, count, 0.02);
    NormalizeGradientCall gradient{.batch = sizes.batch, .channels = sizes.channels, .inner = sizes.inner};
    gradient.training = false;
    gradient.x = x, gradient.grad = g, gradient.dx = y, gradient.mean = mean, gradient.inverse_deviation = deviation;
    card.sample([&] { card.backend().normalize_gradient(gradient); }, shares);
    card.compare(
        y, [&](std::int64_t i) { return at(g, i) * scale(i); }, count, 0.02);
  }
}

TEST_CASE("cuda: large: batch normalization of few channels in training") {
  // All blocks together make the statistics: of one of them only where it reads and writes is judged.
  Card card;
  constexpr std::int64_t batch = 2, channels = 3, inner = (1 << 30) + 8, count = batch * channels * inner;
  const Array x = card.numbers({count}, kHalf), y = card.zeros({count}, kHalf);
  const Array mean = numbers(card, {0, 0, 0}), deviation = numbers(card, {1, 1, 1});
  NormalizeCall call{.batch = batch, .channels = channels, .inner = inner};
  call.x = x, call.y = y, call.mean = mean, call.inverse_deviation = deviation;
  card.sample([&] { card.backend().normalize(call); }, {1});
  NormalizeGradientCall gradient{.batch = batch, .channels = channels, .inner = inner};
  gradient.x = gradient.grad = x, gradient.dx = y, gradient.mean = mean, gradient.inverse_deviation = deviation;
  card.sample([&] { card.backend().normalize_gradient(gradient); }, {1});
}
