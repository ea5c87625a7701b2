// mnemo's own convolutions on the device "cuda", in both layouts, against those of the CPU in float64.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <mnemo/core/families.h>

#include "core/conv_problems.h"
#include "cuda_device.h"

using namespace mnemo;
using namespace numbers;

namespace {

struct Operands {
  Array x, w, y, bias;

  template <class F>
  Operands each(const F& f) const {
    return {f(x), f(w), f(y), bias.defined() ? f(bias) : Array()};
  }
};

/// One pass on the CPU by its direct algorithm, in float64.
std::vector<double> expected(const ConvProblem& problem, ConvPass pass, const Operands& o) {
  ConvCall call{
      .problem = problem, .pass = pass, .plan = {}, .x = o.x, .w = o.w, .y = o.y, .bias = {}, .workspace = {}};
  call.problem.dtype = DType::float64;
  Array& result = pass == ConvPass::forward ? call.y : pass == ConvPass::data_gradient ? call.x : call.w;
  result = unwritten(result.shape(), DType::float64);
  if (pass == ConvPass::forward) call.bias = o.bias;
  Device("cpu").backend().conv(call);
  return result.values<double>();
}

Array computed(const ConvProblem& problem, ConvPass pass, ConvPolicy::Choice choice, ConvLayout layout,
               const Operands& o) {
  const Device device = *cuda_device();
  Backend& backend = device.backend();
  const auto in_layout = [&](const Array& array) {
    const Array there = array.to(device);
    return layout == ConvLayout::channels_last && array.rank() > 1 ? there.channels_last() : there;
  };
  const Operands there = o.each(in_layout);
  ConvCall call{.problem = problem,
                .pass = pass,
                .plan = backend.decisions().conv(problem, pass, {.choice = choice}),
                .layout = layout,
                .x = there.x,
                .w = there.w,
                .y = there.y,
                .bias = {},
                .workspace = {}};
  CHECK(call.plan.workspace == (choice == ConvPolicy::Choice::gemm ? unfolded_bytes(problem) : 0));
  constexpr std::int64_t kGuard = 64;
  const Array guarded({call.plan.workspace + kGuard}, DType::uint8, device);
  backend.fill(guarded, 255);
  if (call.plan.workspace > 0) call.workspace = guarded.slice(0, 0, call.plan.workspace);
  Array& result = pass == ConvPass::forward ? call.y : pass == ConvPass::data_gradient ? call.x : call.w;
  result = Array::like(result);
  backend.fill(result, std::nan(""));
  if (pass == ConvPass::forward) call.bias = there.bias;
  backend.conv(call);
  const auto behind = guarded.slice(0, call.plan.workspace, call.plan.workspace + kGuard).contiguous().values<double>();
  CHECK(std::count(behind.begin(), behind.end(), 255.0) == kGuard);
  return result;
}

void check(const ConvProblem& p, Generator& random) {
  const std::string problem = text(p);
  CAPTURE(problem);
  Operands o{
      random.array(x_shape(p), p.dtype), random.array(w_shape(p), p.dtype), random.array(y_shape(p), p.dtype), {}};
  if (random.integer(0, 1) == 0) o.bias = random.array(Shape{p.out_channels}, p.dtype);
  const Operands exact = o.each([](const Array& array) { return array.to(DType::float64); });
  const Operands sizes = exact.each([](const Array& array) { return map(UnaryOp::abs, array); });
  for (const auto pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    const auto values = expected(p, pass, exact), magnitudes = expected(p, pass, sizes);
    for (const auto choice : {ConvPolicy::Choice::direct, ConvPolicy::Choice::gemm}) {
      // The unfolded gradient is rounded to the dtype once per tap before it is added up.
      const bool folds = choice == ConvPolicy::Choice::gemm && pass == ConvPass::data_gradient && is_half(p.dtype);
      for (const auto layout : {ConvLayout::contiguous, ConvLayout::channels_last}) {
        CAPTURE(std::string(name(pass)));
        CAPTURE(static_cast<int>(choice));
        CAPTURE(std::string(name(layout)));
        CHECK(error_of(computed(p, pass, choice, layout, o), values, magnitudes,
                       folds ? rounding(p.dtype) * 0x1p24 : 8) <= 1);
      }
    }
  }
}

}  // namespace

TEST_CASE("cuda: own convolutions of random problems agree with the CPU's") {
  if (!cuda_device()) return;
  Generator random(11);
  for (int i = 0; i < 60; ++i) check(random_problem(random), random);
}

TEST_CASE("cuda: own convolutions of several tiles and shares of their depth agree with the CPU's") {
  if (!cuda_device()) return;
  Generator random(12);
  constexpr DType dtypes[] = {DType::float32, DType::bfloat16, DType::float64,
                              DType::float32, DType::float16,  DType::float32};
  std::size_t i = 0;
  for (ConvProblem p : large_problems()) {
    p.batch = std::min<std::int64_t>(p.batch, 2);
    p.dtype = dtypes[i++ % std::size(dtypes)];
    check(p, random);
  }
}

TEST_CASE("cuda: own convolutions give the same bits in every run") {
  if (!cuda_device()) return;
  Generator random(13);
  const ConvProblem p{.batch = 3,
                      .in_channels = 9,
                      .out_channels = 20,
                      .in = {1, 17, 15},
                      .kernel = {1, 3, 3},
                      .out = {1, 17, 15},
                      .padding = {0, 1, 1}};
  const Operands o{
      random.array(x_shape(p), p.dtype), random.array(w_shape(p), p.dtype), random.array(y_shape(p), p.dtype), {}};
  for (const auto pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    const auto run = [&] { return computed(p, pass, ConvPolicy::Choice::direct, ConvLayout::contiguous, o).to("cpu"); };
    CHECK(same_bits(run(), run()));
  }
}

TEST_CASE("cuda: a convolution's relu lets NaN and infinity pass, whoever does it") {
  if (!cuda_device()) return;
  const Device cuda = *cuda_device();
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    std::vector<double> numbers(16, -1);
    numbers[3] = std::numeric_limits<double>::quiet_NaN();
    numbers[5] = std::numeric_limits<double>::infinity();
    numbers[7] = 2;
    const Array x = Array::from<double>(numbers, {1, 1, 4, 4}, "cpu").to(dtype).to(cuda);
    const Array w = full(Shape{8, 1, 1, 1}, 1, dtype, cuda), bias = full(Shape{8}, 0.5, dtype, cuda);
    const Array y = conv(conv_problem("conv2d", x, w, bias, 2, {}), x, w, bias, true).contiguous();
    const auto values = y.values<double>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      CAPTURE(i);
      if (i % 16 == 3)
        CHECK(std::isnan(values[i]));
      else
        CHECK(values[i] == (i % 16 == 5 ? std::numeric_limits<double>::infinity() : i % 16 == 7 ? 2.5 : 0));
    }
  }
}
