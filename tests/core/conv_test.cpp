#include <doctest/doctest.h>

#include <numeric>

#include <mnemo/core/families.h>

#include "conv_problems.h"

using namespace mnemo;
using namespace numbers;

namespace {

struct Operands {
  Array x, w, y, bias;
};

/// All three passes by the definition, in float64: one multiplication at a time. `size` adds up magnitudes.
struct Reference {
  std::vector<double> x, w, y, x_size, w_size, y_size;

  Reference(const ConvProblem& p, const Operands& o) {
    const auto xv = o.x.values<double>(), wv = o.w.values<double>(), yv = o.y.values<double>();
    x = x_size = std::vector<double>(xv.size());
    w = w_size = std::vector<double>(wv.size());
    y = y_size = std::vector<double>(yv.size());
    if (o.bias.defined()) {
      const auto bias = o.bias.values<double>();
      const std::size_t out = static_cast<std::size_t>(p.out[0] * p.out[1] * p.out[2]);
      for (std::size_t i = 0; i < y.size(); ++i) {
        y[i] = bias[i / out % bias.size()];
        y_size[i] = std::abs(y[i]);
      }
    }
    auto add = [](std::vector<double>& sum, std::vector<double>& size, std::size_t at, double value) {
      sum[at] += value;
      size[at] += std::abs(value);
    };
    const std::int64_t cg = p.in_channels / p.groups, kg = p.out_channels / p.groups;
    for (std::int64_t n = 0; n < p.batch; ++n)
      for (std::int64_t k = 0; k < p.out_channels; ++k)
        for (std::int64_t c = 0; c < cg; ++c)
          for (std::int64_t o0 = 0; o0 < p.out[0]; ++o0)
            for (std::int64_t o1 = 0; o1 < p.out[1]; ++o1)
              for (std::int64_t o2 = 0; o2 < p.out[2]; ++o2)
                for (std::int64_t t0 = 0; t0 < p.kernel[0]; ++t0)
                  for (std::int64_t t1 = 0; t1 < p.kernel[1]; ++t1)
                    for (std::int64_t t2 = 0; t2 < p.kernel[2]; ++t2) {
                      const std::int64_t i0 = o0 * p.stride[0] - p.padding[0] + t0 * p.dilation[0];
                      const std::int64_t i1 = o1 * p.stride[1] - p.padding[1] + t1 * p.dilation[1];
                      const std::int64_t i2 = o2 * p.stride[2] - p.padding[2] + t2 * p.dilation[2];
                      if (i0 < 0 || i0 >= p.in[0] || i1 < 0 || i1 >= p.in[1] || i2 < 0 || i2 >= p.in[2]) continue;
                      const std::int64_t channel = k / kg * cg + c;
                      const auto xi = static_cast<std::size_t>(
                          (((n * p.in_channels + channel) * p.in[0] + i0) * p.in[1] + i1) * p.in[2] + i2);
                      const auto wi = static_cast<std::size_t>(
                          (((k * cg + c) * p.kernel[0] + t0) * p.kernel[1] + t1) * p.kernel[2] + t2);
                      const auto yi = static_cast<std::size_t>(
                          (((n * p.out_channels + k) * p.out[0] + o0) * p.out[1] + o1) * p.out[2] + o2);
                      add(y, y_size, yi, xv[xi] * wv[wi]);
                      add(x, x_size, xi, yv[yi] * wv[wi]);
                      add(w, w_size, wi, yv[yi] * xv[xi]);
                    }
  }
};

constexpr std::int64_t kGuard = 64;

/// Runs one pass with its output unwritten before; checks that no byte behind the workspace changes.
Array run(const ConvProblem& p, ConvPass pass, ConvPolicy::Choice choice, Operands o) {
  Backend& backend = Device("cpu").backend();
  ConvCall call{.problem = p,
                .pass = pass,
                .plan = backend.decisions().conv(p, pass, {.choice = choice}),
                .x = o.x,
                .w = o.w,
                .y = o.y,
                .bias = {},
                .workspace = {}};
  CHECK(call.plan.workspace == (choice == ConvPolicy::Choice::gemm ? unfolded_bytes(p) : 0));
  Array guarded = unwritten(Shape{call.plan.workspace + kGuard}, DType::uint8);
  if (call.plan.workspace > 0) call.workspace = guarded.slice(0, 0, call.plan.workspace);
  Array result;
  switch (pass) {
    case ConvPass::forward:
      result = call.y = unwritten(y_shape(p), p.dtype);
      call.bias = o.bias;
      break;
    case ConvPass::data_gradient:
      result = call.x = unwritten(x_shape(p), p.dtype);
      break;
    case ConvPass::weight_gradient:
      result = call.w = unwritten(w_shape(p), p.dtype);
      break;
  }
  backend.conv(call);
  const auto* behind = guarded.data<std::uint8_t>() + call.plan.workspace;
  CHECK(std::count(behind, behind + kGuard, 0xff) == kGuard);
  return result;
}

constexpr ConvPolicy::Choice kChoices[] = {ConvPolicy::Choice::direct, ConvPolicy::Choice::gemm};

Operands operands(const ConvProblem& p, Generator& random, bool bias) {
  return {random.array(x_shape(p), p.dtype), random.array(w_shape(p), p.dtype), random.array(y_shape(p), p.dtype),
          bias ? random.array(Shape{p.out_channels}, p.dtype) : Array()};
}

void check(const ConvProblem& p, const Operands& o) {
  const Reference reference(p, o);
  // The unfolded gradient is rounded to the dtype once per tap before it is added up.
  const double fold = is_half(p.dtype) ? rounding(p.dtype) * 0x1p24 : 8;
  for (const auto choice : kChoices) {
    CAPTURE(static_cast<int>(choice));
    CHECK(error_of(run(p, ConvPass::forward, choice, o), reference.y, reference.y_size) <= 1);
    CHECK(error_of(run(p, ConvPass::data_gradient, choice, o), reference.x, reference.x_size,
                   choice == ConvPolicy::Choice::gemm ? fold : 8) <= 1);
    CHECK(error_of(run(p, ConvPass::weight_gradient, choice, o), reference.w, reference.w_size) <= 1);
  }
}

}  // namespace

TEST_CASE("conv: random problems agree with the definition") {
  Generator random(1);
  for (int i = 0; i < 2500; ++i) {
    const ConvProblem p = random_problem(random);
    const std::string problem = text(p);
    CAPTURE(problem);
    check(p, operands(p, random, random.integer(0, 1) == 0));
  }
}

TEST_CASE("conv: problems of several tiles agree with the definition, with the same bits on any number of threads") {
  Generator random(2);
  for (ConvProblem p : large_problems()) {
    for (const DType dtype : {DType::float64, DType::float32, DType::bfloat16}) {
      p.dtype = dtype;
      const std::string problem = text(p);
      CAPTURE(problem);
      const Operands o = operands(p, random, true);
      if (dtype != DType::float64) check(p, o);
      for (const auto pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
        for (const auto choice : kChoices) {
          Array results[3];
          for (int threads = 1; threads <= 3; ++threads) {
            const Threads scope(threads);
            results[threads - 1] = run(p, pass, choice, o);
          }
          CHECK(same_bits(results[0], results[1]));
          CHECK(same_bits(results[0], results[2]));
        }
      }
    }
  }
}

TEST_CASE("conv: the data gradient is the adjoint of the forward pass, the weight gradient too") {
  Generator random(3);
  auto inner = [](const Array& a, const Array& b) {
    const auto av = a.values<double>(), bv = b.values<double>();
    return std::inner_product(av.begin(), av.end(), bv.begin(), 0.0);
  };
  for (int i = 0; i < 200; ++i) {
    ConvProblem p = random_problem(random);
    p.dtype = DType::float64;
    const std::string problem = text(p);
    CAPTURE(problem);
    const Operands o = operands(p, random, false);
    for (const auto choice : kChoices) {
      const double forward = inner(run(p, ConvPass::forward, choice, o), o.y);
      CHECK(forward == doctest::Approx(inner(o.x, run(p, ConvPass::data_gradient, choice, o))).epsilon(1e-10));
      CHECK(forward == doctest::Approx(inner(o.w, run(p, ConvPass::weight_gradient, choice, o))).epsilon(1e-10));
    }
  }
}

TEST_CASE("conv: half weight gradients of a long batch are summed in float") {
  // 4096 products of 1/2 * 1/2: a float16 sum would stop growing at 512 (steps of 1/2), a bfloat16 one at 64.
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    const ConvProblem p{.batch = 4096, .kernel = {1, 1, 2}, .out = {1, 1, 2}, .padding = {0, 0, 1}, .dtype = dtype};
    const auto half = Array::from<double>(std::vector<double>(4096, 0.5), {4096, 1, 1, 1, 1}, "cpu").to(dtype);
    const auto grad = Array::from<double>(std::vector<double>(8192, 0.5), {4096, 1, 1, 1, 2}, "cpu").to(dtype);
    for (const auto choice : kChoices) {
      const auto w =
          run(p, ConvPass::weight_gradient, choice, {half, unwritten(w_shape(p), dtype), grad, {}}).values<double>();
      CHECK(w == std::vector<double>{1024, 1024});
    }
  }
}

TEST_CASE(
    "conv: a card's engines get operands at multiples of 16 bytes, by way of copies that count on the virtual card") {
  const Device device = Device::open("virtual:h200");
  ConvProblem problem;
  problem.batch = 2;
  problem.in_channels = problem.out_channels = 3;
  problem.in = problem.out = {1, 33, 33};
  problem.kernel = {1, 3, 3};
  problem.padding = {0, 1, 1};
  const Array two({2, 3, 33, 33}, DType::float32, device), eight({8, 3, 33, 33}, DType::float32, device);
  const Array w({3, 3, 3, 3}, DType::float32, device);
  const auto peak_of = [&](const Array& x) {
    conv(problem, x, w, {});  // its plan's workspace is cached from here on
    device.allocator().reset_peak();
    const memory::Bytes before = device.allocator().allocated();
    conv(problem, x, w, {});
    return device.allocator().peak().allocated - before;
  };
  const memory::Bytes plain = peak_of(two);
  if (device.backend().estimated_plans() > 0) {
    MESSAGE("skipped: ", device.backend().decisions().source());
    return;
  }
  CHECK(eight.slice(0, 1, 3).layout().offset * 4 % 16 != 0);
  CHECK(peak_of(eight.slice(0, 4, 6)) == plain);          // four images are a multiple of 16 bytes
  CHECK(peak_of(eight.slice(0, 1, 3)) == plain + 26624);  // 2 * 3 * 33 * 33 * 4 bytes, rounded up to 512
}
