// Resampling on the GPU against the CPU's, and which elements each of them says count.
#include <doctest/doctest.h>

#include <string>

#include <mnemo/core/families.h>

#include "mirror.h"

using namespace mnemo;
using mirror::close;
using mirror::moved;
using numbers::Generator;

TEST_CASE("cuda: resample and its gradient are the CPU's, of any sizes and any number of channels at a place") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(32);
  for (int i = 0; i < 80; ++i) {
    const auto mode = static_cast<ResampleMode>(i % 4);
    const bool corners = i % 8 > 3;
    ResampleProblem problem{.planes = random.integer(0, 4), .inner = i % 3 == 0 ? 1 : random.integer(1, 9)};
    std::int64_t inputs = problem.planes * problem.inner, outputs = inputs;
    for (int d = i % 3; d < 3; ++d) {
      const std::int64_t in = random.integer(1, 12), out = i % 5 == 0 ? 2 * in : random.integer(1, 25);
      problem.axes[d] = Resampling<std::int64_t>(mode, in, out, corners);
      inputs *= in, outputs *= out;
    }
    for (const DType dtype : {DType::float64, DType::float32, DType::float16, DType::bfloat16}) {
      CAPTURE(i);
      CAPTURE(std::string(name(dtype)));
      const Array x = random.array({inputs}, dtype), grad = random.array({outputs}, dtype);
      const Array y = numbers::unwritten({outputs}, dtype), dx = numbers::unwritten({inputs}, dtype);
      const Array y_there = moved(y, cuda), dx_there = moved(dx, cuda);
      cpu.backend().resample(problem, x, y);
      cuda.backend().resample(problem, moved(x, cuda), y_there);
      // Up to 64 terms are added in another order.
      CHECK(close(y, y_there, 2, 32));
      cpu.backend().resample_gradient(problem, grad, dx);
      cuda.backend().resample_gradient(problem, moved(grad, cuda), dx_there);
      const double each = inputs == 0 ? 0 : static_cast<double>(outputs) / static_cast<double>(inputs);
      CHECK(close(dx, dx_there, 10 * (1 + each), 32));
    }
  }
}

TEST_CASE("resampling: an element counts for what has it among its taps, and reaches nothing else") {
  for (std::int64_t in = 1; in < 14; ++in) {
    for (std::int64_t out = 1; out < 40; ++out) {
      for (int i = 0; i < 8; ++i) {
        const Resampling<std::int32_t> axis(static_cast<ResampleMode>(i % 4), static_cast<std::int32_t>(in),
                                            static_cast<std::int32_t>(out), i > 3);
        for (std::int32_t j = 0; j < axis.in; ++j) {
          const auto reach = axis.reach(j);
          REQUIRE(reach.from >= 0);
          REQUIRE(reach.until <= axis.out);
          for (std::int32_t o = 0; o < axis.out; ++o) {
            const auto taps = axis.taps(o);
            double sum = 0;
            bool has = false;
            for (std::int32_t t = 0; t < taps.count; ++t) {
              if (axis.inside(taps.first + t) == j) has = true, sum += axis.weight<double>(taps, t);
            }
            const bool reached = o >= reach.from && o < reach.until;
            if (has) REQUIRE(reached);
            if (reached) REQUIRE(axis.weight_of<double>(j, o) == doctest::Approx(sum).epsilon(1e-14));
          }
        }
      }
    }
  }
}
