#include <doctest/doctest.h>

#include "numbers.h"

using namespace mnemo;
using namespace numbers;
using Kind = PoolProblem::Kind;

namespace {

PoolProblem random_problem(Generator& random) {
  PoolProblem p;
  p.kind = random.integer(0, 1) == 0 ? Kind::max : Kind::average;
  p.planes = random.integer(0, 5);
  p.count_include_pad = random.integer(0, 1) == 0;
  const auto rank = static_cast<std::size_t>(random.integer(1, 3));
  for (std::size_t d = 3 - rank; d < 3; ++d) {
    p.kernel[d] = random.integer(1, rank == 1 ? 300 : 4);
    p.padding[d] = random.integer(0, p.kernel[d] / 2);
    p.stride[d] = random.integer(1, 4);
    p.dilation[d] = p.kind == Kind::max ? random.integer(1, 2) : 1;
    const std::int64_t reach = p.dilation[d] * (p.kernel[d] - 1) + 1;
    p.in[d] = std::max<std::int64_t>(reach - 2 * p.padding[d], 1) + random.integer(0, rank == 1 ? 700 : 8);
    const std::int64_t room = p.in[d] + 2 * p.padding[d] - reach;
    p.out[d] = room / p.stride[d] + 1;
    // ceil mode: one more window that hangs over the end, as long as it begins inside
    if (random.integer(0, 1) == 0 && room % p.stride[d] != 0 && p.out[d] * p.stride[d] < p.in[d] + p.padding[d])
      ++p.out[d];
  }
  return p;
}

/// Both passes by the definition: for every window the list of its places.
struct Reference {
  std::vector<double> y, dx, size;
  std::vector<std::int64_t> offsets;

  Reference(const PoolProblem& p, const std::vector<double>& x, const std::vector<double>& grad) {
    dx = size = std::vector<double>(x.size());
    const std::int64_t in = p.in[0] * p.in[1] * p.in[2];
    for (std::int64_t plane = 0; plane < p.planes; ++plane)
      for (std::int64_t a = 0; a < p.out[0]; ++a)
        for (std::int64_t b = 0; b < p.out[1]; ++b)
          for (std::int64_t c = 0; c < p.out[2]; ++c) window(p, plane * in, {a, b, c}, x, grad);
  }

 private:
  void window(const PoolProblem& p, std::int64_t plane, const Size3& at, const std::vector<double>& x,
              const std::vector<double>& grad) {
    std::vector<std::size_t> elements;
    std::vector<std::int64_t> places;
    std::int64_t padded = 0, place = 0;
    for (std::int64_t a = 0; a < p.kernel[0]; ++a)
      for (std::int64_t b = 0; b < p.kernel[1]; ++b)
        for (std::int64_t c = 0; c < p.kernel[2]; ++c, ++place) {
          const Size3 tap{a, b, c};
          Size3 i;
          bool inside = true, in_padded = true;
          for (std::size_t d = 0; d < 3; ++d) {
            i[d] = at[d] * p.stride[d] - p.padding[d] + tap[d] * p.dilation[d];
            inside = inside && i[d] >= 0 && i[d] < p.in[d];
            in_padded = in_padded && i[d] < p.in[d] + p.padding[d];
          }
          padded += in_padded ? 1 : 0;
          if (!inside) continue;
          elements.push_back(static_cast<std::size_t>(plane + (i[0] * p.in[1] + i[1]) * p.in[2] + i[2]));
          places.push_back(place);
        }
    const double g = grad[y.size()];
    if (elements.empty()) {  // a dilated window can miss a short input
      y.push_back(p.kind == Kind::max ? -std::numeric_limits<double>::infinity() : 0);
      offsets.push_back(0);
      return;
    }
    if (p.kind == Kind::max) {
      std::size_t best = 0;
      for (std::size_t i = 0; i < elements.size(); ++i) {
        const double value = x[elements[i]], so_far = x[elements[best]];
        if (std::isnan(so_far)) break;
        if (value > so_far || std::isnan(value)) best = i;
      }
      y.push_back(x[elements[best]]);
      offsets.push_back(places[best]);
      dx[elements[best]] += g;
      size[elements[best]] += std::abs(g);
      return;
    }
    const double divisor =
        static_cast<double>(p.count_include_pad ? padded : static_cast<std::int64_t>(elements.size()));
    double sum = 0;
    for (const std::size_t e : elements) {
      sum += x[e] / divisor;
      dx[e] += g / divisor;
      size[e] += std::abs(g / divisor);
    }
    y.push_back(sum);
    offsets.push_back(0);
  }
};

}  // namespace

TEST_CASE("pool: random problems agree with the definition, with the same bits on any number of threads") {
  Generator random(1);
  for (int i = 0; i < 600; ++i) {
    const PoolProblem p = random_problem(random);
    const DType dtype = random.one_of(kFloating);
    CAPTURE(i);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(static_cast<int>(p.kind));
    Array x = random.array({p.planes, p.in[0], p.in[1], p.in[2]}, dtype);
    if (i % 3 == 0) {  // many ties, and NaN
      auto values = x.values<double>();
      for (double& value : values) value = std::round(2 * value);
      if (i % 2 == 0 && !values.empty()) values[values.size() / 2] = std::numeric_limits<double>::quiet_NaN();
      x = Array::from<double>(values, x.shape(), "cpu").to(dtype);
    }
    const Shape out{p.planes, p.out[0], p.out[1], p.out[2]};
    const Array grad = random.array(out, dtype);
    const Reference reference(p, x.values<double>(), grad.values<double>());
    Array ys[3], gradients[3];
    for (int threads = 1; threads <= 3; ++threads) {
      const Threads scope(threads);
      Backend& backend = Device("cpu").backend();
      const Array y = ys[threads - 1] = unwritten(out, dtype);
      const Array dx = gradients[threads - 1] = unwritten(x.shape(), dtype);
      const Array offsets = p.kind == Kind::max ? unwritten(out, p.offset_dtype()) : Array();
      backend.pool(p, x, y, offsets);
      backend.pool_gradient(p, grad, offsets, dx);
      if (p.kind == Kind::max) CHECK(offsets.values<std::int64_t>() == reference.offsets);
    }
    std::vector<double> ones(reference.y.size(), p.kind == Kind::max ? 0.0 : 20.0);
    CHECK(error_of(ys[0], reference.y, ones) <= 1);
    CHECK(error_of(gradients[0], reference.dx, reference.size, 64) <= 1);
    for (int other : {1, 2}) {
      CHECK(same_bits(ys[0], ys[other]));
      CHECK(same_bits(gradients[0], gradients[other]));
    }
  }
}

TEST_CASE("pool: the channels innermost give the same bits, whatever their number") {
  Generator random(2);
  for (int i = 0; i < 300; ++i) {
    PoolProblem p = random_problem(random), last = p;
    const std::int64_t channels = random.one_of({2, 3, 7, 8, 16, i % 10 == 0 ? 300 : 5});
    last.inner = channels, p.planes *= channels;
    const DType dtype = random.one_of(kFloating);
    CAPTURE(i);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(static_cast<int>(p.kind));
    const std::int64_t in = p.in[0] * p.in[1] * p.in[2], out = p.out[0] * p.out[1] * p.out[2];
    const Shape in_shape{last.planes, channels, in}, out_shape{last.planes, channels, out};
    Array x = random.array(in_shape, dtype);
    if (i % 3 == 0) {  // many ties, and NaN
      auto values = x.values<double>();
      for (double& value : values) value = std::round(2 * value);
      if (i % 2 == 0 && !values.empty()) values[values.size() / 2] = std::numeric_limits<double>::quiet_NaN();
      x = Array::from<double>(values, x.shape(), "cpu").to(dtype);
    }
    const Array grad = random.array(out_shape, dtype);
    const bool keeps = p.kind == Kind::max;
    const auto swapped = [](const Array& a) { return a.permute({0, 2, 1}).contiguous(); };
    Backend& backend = Device("cpu").backend();
    const Array y = unwritten(out_shape, dtype), dx = unwritten(in_shape, dtype);
    const Array offsets = keeps ? unwritten(out_shape, p.offset_dtype()) : Array();
    backend.pool(p, x, y, offsets);
    backend.pool_gradient(p, grad, offsets, dx);
    const Shape in_last{last.planes, in, channels}, out_last{last.planes, out, channels};
    for (const int threads : {1, 3}) {
      const Threads scope(threads);
      const Array y_last = unwritten(out_last, dtype), dx_last = unwritten(in_last, dtype);
      const Array offsets_last = keeps ? unwritten(out_last, p.offset_dtype()) : Array();
      backend.pool(last, swapped(x), y_last, offsets_last);
      backend.pool_gradient(last, swapped(grad), offsets_last, dx_last);
      CHECK(same_bits(swapped(y_last), y));
      CHECK(same_bits(swapped(dx_last), dx));
      if (keeps) CHECK(same_bits(swapped(offsets_last), offsets));
    }
  }
}

TEST_CASE("pool: a window of minus infinities has its first place, and no offsets are needed without a gradient") {
  PoolProblem p{
      .planes = 1, .in = {1, 2, 2}, .kernel = {1, 2, 2}, .out = {1, 2, 2}, .stride = {1, 2, 2}, .padding = {0, 1, 1}};
  const double low = -std::numeric_limits<double>::infinity();
  const Array x = Array::from<double>({low, low, low, low}, {1, 1, 2, 2}, "cpu");
  const Array y = unwritten({1, 1, 2, 2}, DType::float64), offsets = unwritten({1, 1, 2, 2}, DType::uint8);
  Device("cpu").backend().pool(p, x, y, offsets);
  CHECK(y.values<double>() == std::vector<double>{low, low, low, low});
  CHECK(offsets.values<std::int64_t>() == std::vector<std::int64_t>{3, 2, 1, 0});
  Device("cpu").backend().pool(p, x, y, Array());
  CHECK(y.values<double>() == std::vector<double>{low, low, low, low});
}
