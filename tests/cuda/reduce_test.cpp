// Reductions on the GPU against the CPU's: every subset of axes, every dtype, any layout, few results and many.
#include <doctest/doctest.h>

#include <string>

#include <mnemo/core/families.h>

#include "mirror.h"

using namespace mnemo;
using namespace views;
using mirror::close;
using mirror::moved;
using mirror::same;
using numbers::Generator;

namespace {

constexpr ReduceOp kOps[] = {ReduceOp::sum, ReduceOp::max, ReduceOp::min};

Shape kept(const Shape& shape, unsigned axes) {
  Dims sizes = shape;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axes >> axis & 1u) sizes[axis] = 1;
  }
  return Shape(sizes);
}

}  // namespace

TEST_CASE("cuda: reductions over every subset of axes, in any layout and dtype") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(21);
  for (int round = 0; round < 60; ++round) {
    const DType dtype = random.one_of(kDTypes);
    Array x = scattered(random, any_shape(random, 4, 6), dtype);
    write(x, any_values(random, dtype, x.numel(), round % 3 == 0));
    if (random.integer(0, 4) == 0) x = x.unsqueeze(0).expand(x.unsqueeze(0).shape().with(0, 3));
    const Array x_there = moved(x, cuda);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(x.shape().text());
    CAPTURE(x.strides().text());
    for (unsigned axes = 0; axes < 1u << x.rank(); ++axes) {
      CAPTURE(axes);
      const Shape shape = kept(x.shape(), axes);
      for (const ReduceOp op : kOps) {
        if (op != ReduceOp::sum && x.numel() == 0) continue;
        CAPTURE(static_cast<int>(op));
        const bool counts = op == ReduceOp::sum && !is_floating(dtype);
        const Array out = numbers::unwritten(shape, counts ? DType::int64 : dtype), out_there = moved(out, cuda);
        const double scale = round % 2 == 0 ? 1 : 0.5;
        cpu.backend().reduce(op, x, axes, scale, out);
        cuda.backend().reduce(op, x_there, axes, scale, out_there);
        CHECK(same(out, out_there));
      }
      if (axes == 0 || (axes & (axes - 1)) != 0 || x.numel() == 0) continue;
      const Array places = numbers::unwritten(shape, DType::int64), places_there = moved(places, cuda);
      const int axis = std::countr_zero(axes);
      for (const bool smallest : {false, true}) {
        cpu.backend().arg_max(x, axis, smallest, places);
        cuda.backend().arg_max(x_there, axis, smallest, places_there);
        CHECK(same(places, places_there));
      }
    }
  }
}

TEST_CASE("cuda: large reductions along every set of axes, row-major and with the channels last") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(22);
  constexpr DType types[] = {DType::float32, DType::bfloat16, DType::float64, DType::int32, DType::float16};
  std::size_t round = 0;
  for (const Shape& shape :
       {Shape{100007}, Shape{3, 30001}, Shape{20004, 3}, Shape{41, 31, 43}, Shape{200, 320}, Shape{4096, 24},
        Shape{6, 40, 14, 16}, Shape{2, 16, 33, 33}, Shape{5000, 2, 8}, Shape{6, 40, 14, 16}, Shape{6, 64, 14, 16}}) {
    const DType dtype = types[round++ % std::size(types)];
    Array x = random.array(shape, dtype, -100, 100);
    if (round > 9) x = x.channels_last();
    const Array x_there = moved(x, cuda);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(shape.text());
    for (unsigned axes = 1; axes < 1u << shape.rank(); ++axes) {
      // Of four axes: one in the middle, the last, the places, all but the channels, all.
      if (shape.rank() == 4 && axes != 2 && axes != 8 && axes != 12 && axes != 13 && axes != 15) continue;
      CAPTURE(axes);
      for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max}) {
        const bool counts = op == ReduceOp::sum && !is_floating(dtype);
        const Array out = numbers::unwritten(kept(shape, axes), counts ? DType::int64 : dtype);
        // Both add up in double, in different orders: that shows in float64 alone.
        const double magnitude = 100.0 * static_cast<double>(dtype == DType::float64 ? x.numel() / out.numel() : 1);
        const Array out_there = moved(out, cuda), again = moved(out, cuda);
        cpu.backend().reduce(op, x, axes, 1, out);
        cuda.backend().reduce(op, x_there, axes, 1, out_there);
        cuda.backend().reduce(op, x_there, axes, 1, again);
        CHECK((op == ReduceOp::max || counts ? same(out, out_there) : close(out, out_there, magnitude)));
        CHECK(same(moved(out_there, cpu), again));
      }
      if ((axes & (axes - 1)) != 0) continue;
      const Array places = numbers::unwritten(kept(shape, axes), DType::int64), places_there = moved(places, cuda);
      const bool smallest = round % 2 == 0;
      cpu.backend().arg_max(x, std::countr_zero(axes), smallest, places);
      cuda.backend().arg_max(x_there, std::countr_zero(axes), smallest, places_there);
      CHECK(same(places, places_there));
    }
  }
}

TEST_CASE("cuda: sums are taken in double, and what overflows float on the way is no infinity") {
  if (!cuda_device()) return;
  const std::int64_t count = 100'003;
  const Array ones = full({count}, 1, DType::float32, *cuda_device());
  fill(ones.slice(0, 0, 1), 0x1p30);
  CHECK(reduce(ReduceOp::sum, ones.to(DType::float64), 1u).item() == 0x1p30 + static_cast<double>(count - 1));
  CHECK(reduce(ReduceOp::sum, ones, 1u).item() ==
        static_cast<double>(static_cast<float>(0x1p30 + static_cast<double>(count - 1))));
  for (DType dtype : {DType::float32, DType::bfloat16}) {
    const Array large = full({64, 48}, 0x1p127, dtype, *cuda_device());
    CHECK(reduce(ReduceOp::sum, large, 3u, true, 1.0 / (64 * 48)).item() == 0x1p127);
    for (unsigned axes : {1u, 2u}) {
      const auto means = reduce(ReduceOp::sum, large, axes, true, axes == 1 ? 1.0 / 64 : 0x1p-6).values<double>();
      CHECK(means == std::vector<double>(axes == 1 ? 48 : 64, axes == 1 ? 0x1p127 : 0.75 * 0x1p127));
    }
  }
}
