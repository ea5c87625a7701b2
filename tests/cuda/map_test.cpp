// Element-wise families on the GPU against the CPU's: every operation, every dtype, any layout.
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

constexpr UnaryOp kUnary[] = {
#define MNEMO_ROW(name, functor) UnaryOp::name,
    MNEMO_UNARY_OPS(MNEMO_ROW)
#undef MNEMO_ROW
};
constexpr BinaryOp kBinary[] = {BinaryOp::add,    BinaryOp::subtract, BinaryOp::multiply,
                                BinaryOp::divide, BinaryOp::maximum,  BinaryOp::minimum};
constexpr CompareOp kCompare[] = {CompareOp::equal, CompareOp::less, CompareOp::less_equal};

/// A few elements, or so many that a warp has several packs; dense with odd sizes, aligned or not, or scattered.
Array operand(Generator& random, const Shape& shape, DType dtype) {
  const bool dense = random.integer(0, 2) > 0;
  Array x = scattered(random, shape, dtype);
  if (dense) {
    const std::int64_t shift = random.integer(0, 2);
    x = numbers::unwritten({shape.numel() + shift + 3}, dtype).slice(0, shift, shape.numel() + shift).reshape(shape);
  }
  return x;
}

Shape any_size(Generator& random) {
  if (random.integer(0, 2) > 0) return any_shape(random, 4, 6);
  return random.integer(0, 1) == 0 ? Shape{random.integer(1, 9000)}
                                   : Shape{random.integer(1, 3), random.integer(1, 40), 4 * random.integer(1, 30)};
}

/// The same with some axes repeated, so that it broadcasts.
Array repeated(Generator& random, const Shape& shape, DType dtype, bool special) {
  Dims sizes = shape;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] > 0 && random.integer(0, 3) == 0) sizes[axis] = 1;
  }
  const Array x = operand(random, Shape(sizes), dtype);
  write(x, any_values(random, dtype, x.numel(), special));
  return x.expand(shape);
}

}  // namespace

TEST_CASE("cuda: unary operations and their gradients are the CPU's, in any layout and dtype") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(11);
  for (int round = 0; round < 250; ++round) {
    const UnaryOp op = kUnary[static_cast<std::size_t>(round) % std::size(kUnary)];
    const DType dtype = random.one_of(numbers::kFloating);
    const DType out_dtype = random.integer(0, 4) == 0 ? promote(dtype, random.one_of(numbers::kFloating)) : dtype;
    const Shape shape = any_size(random);
    const Scalars scalars{random.integer(0, 1) ? 2.0 : 0.5, 1.5};
    CAPTURE(std::string(name(op)));
    CAPTURE(std::string(name(dtype)));
    CAPTURE(std::string(name(out_dtype)));
    CAPTURE(shape.text());
    const Array x = repeated(random, shape, dtype, true), grad = repeated(random, shape, dtype, false);
    Array out = operand(random, shape, out_dtype);
    const Array out_there = moved(out, cuda);
    cpu.backend().unary(op, scalars, x, out);
    cuda.backend().unary(op, scalars, moved(x, cuda), out_there);
    // Computed in float unless the input is double, also where the result is: 2^29 roundings of a double are one.
    const bool in_float = dtype != DType::float64 && out_dtype == DType::float64;
    CHECK(close(out, out_there, 4, in_float ? 8 * 0x1p29 : 8));
    cpu.backend().unary_gradient(op, scalars, grad, x, out);
    cuda.backend().unary_gradient(op, scalars, moved(grad, cuda), moved(x, cuda), out_there);
    CHECK(close(out, out_there, 16));
  }
}

TEST_CASE("cuda: binary operations and comparisons are the CPU's, in any layout and dtype") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(12);
  for (int round = 0; round < 300; ++round) {
    const DType dtype = random.one_of(kDTypes);
    const Shape shape = any_size(random);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(shape.text());
    const Array a = repeated(random, shape, dtype, true), b = repeated(random, shape, dtype, true);
    const Array a_there = moved(a, cuda), b_there = moved(b, cuda);
    CAPTURE(a.strides().text());
    CAPTURE(b.strides().text());
    const BinaryOp op = random.one_of(kBinary);
    CAPTURE(std::string(name(op)));
    const Array out = operand(random, shape, dtype), out_there = moved(out, cuda);
    cpu.backend().binary(op, a, b, out);
    cuda.backend().binary(op, a_there, b_there, out_there);
    CHECK(same(out, out_there));
    const CompareOp comparison = random.one_of(kCompare);
    CAPTURE(std::string(name(comparison)));
    const Array truth = operand(random, shape, DType::boolean), truth_there = moved(truth, cuda);
    cpu.backend().compare(comparison, a, b, truth);
    cuda.backend().compare(comparison, a_there, b_there, truth_there);
    CHECK(same(truth, truth_there));
  }
}

TEST_CASE("cuda: an operation on its own operand") {
  if (!cuda_device()) return;
  const Device cuda = *cuda_device();
  for (DType dtype : numbers::kFloating) {
    const Array x = full({1003}, 3, dtype, cuda);
    cuda.backend().binary(BinaryOp::multiply, x, x, x);
    cuda.backend().unary(UnaryOp::neg, {}, x, x);
    cuda.backend().unary_gradient(UnaryOp::relu, {}, x, full({1003}, 1, dtype, cuda), x);
    CHECK(x.values<double>() == std::vector<double>(1003, -9));
  }
  // One by one: threads of which not all have as many elements as others.
  for (DType dtype : kDTypes) {
    const Array whole = full({1004}, dtype == DType::boolean ? 1 : 3, dtype, cuda), x = whole.slice(0, 1, 1004);
    cuda.backend().binary(BinaryOp::multiply, x, x, x);
    CHECK(x.to(DType::float64).values<double>() == std::vector<double>(1003, dtype == DType::boolean ? 1 : 9));
  }
}

TEST_CASE("cuda: copies between all dtypes, in any layout") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(13);
  for (int round = 0; round < 400; ++round) {
    const DType from = random.one_of(kDTypes), to = random.integer(0, 2) == 0 ? from : random.one_of(kDTypes);
    const Shape shape = any_size(random);
    CAPTURE(std::string(name(from)));
    CAPTURE(std::string(name(to)));
    const Array x = repeated(random, shape, from, is_floating(to));
    const Array out = operand(random, shape, to), out_there = moved(out, cuda);
    CAPTURE(shape.text());
    CAPTURE(x.strides().text());
    CAPTURE(out.strides().text());
    cpu.backend().copy(x, out);
    cuda.backend().copy(moved(x, cuda), out_there);
    CHECK(same(out, out_there));
    const double value = to == DType::boolean ? 1 : 37.25;
    cpu.backend().fill(out, value);
    cuda.backend().fill(out_there, value);
    CHECK(same(out, out_there));
  }
}

TEST_CASE("cuda: all numbers of 16 bits become the same float32, and floats near them the same 16 bits") {
  if (!cuda_device()) return;
  const Device cuda = *cuda_device();
  for (DType dtype : {DType::float16, DType::bfloat16}) {
    const Array all({65536}, dtype, "cpu");
    for (std::size_t i = 0; i < 65536; ++i)
      reinterpret_cast<std::uint16_t*>(all.storage()->data())[i] = static_cast<std::uint16_t>(i);
    const Array wide = all.to(DType::float32);
    CHECK(same(wide, all.to(cuda).to(DType::float32)));
    for (double factor : {1.0, 1 + 0x1p-9, 1 + 0x1p-12, 1 - 0x1p-9, 1 - 0x1p-12, 1 + 0x1p-8, 1 + 0x1p-11}) {
      const Array near = map(UnaryOp::affine, wide, {factor, 0});
      CHECK(same(near.to(dtype), near.to(cuda).to(dtype)));
    }
  }
}

TEST_CASE("cuda: transposes of every element size, with edges that fill no tile") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(14);
  for (DType dtype : {DType::uint8, DType::bfloat16, DType::float32, DType::int64}) {
    for (const Shape& shape :
         {Shape{33, 64}, Shape{8, 100}, Shape{2, 40, 9, 7}, Shape{3, 64, 16, 8}, Shape{2, 3, 50, 2, 70}}) {
      Array x = numbers::unwritten(shape, dtype);
      write(x, any_values(random, dtype, x.numel()));
      for (const Array& view : {x.transpose(0, -1), x.transpose(1, -1), x.channels_last()}) {
        const Array out = numbers::unwritten(view.shape(), dtype), out_there = moved(out, cuda);
        cpu.backend().copy(view, out);
        cuda.backend().copy(moved(view, cuda), out_there);
        CHECK(same(out, out_there));
      }
    }
  }
}

TEST_CASE("cuda: casts that transpose give the bits of the CPU's") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(16);
  for (const DType half : {DType::float16, DType::bfloat16}) {
    for (const auto& [from, to] : {std::pair(DType::float32, half), std::pair(half, DType::float32)}) {
      for (const Shape& shape : {Shape{33, 64}, Shape{2, 3, 9, 7}, Shape{2, 40, 9, 7}, Shape{3, 70, 16, 8}}) {
        Array x = numbers::unwritten(shape, from);
        write(x, any_values(random, from, x.numel()));
        for (const Array& view : {x.transpose(0, -1), x.channels_last()}) {
          const Array out = numbers::unwritten(view.shape(), to), out_there = moved(out, cuda);
          cpu.backend().copy(view, out);
          cuda.backend().copy(moved(view, cuda), out_there);
          CHECK(same(out, out_there));
        }
        const Array last = Array::like(moved(x, cuda).channels_last(), to);
        cuda.backend().copy(moved(x, cuda), last);
        CHECK(same(x.to(to), last.contiguous()));
      }
    }
  }
}

TEST_CASE("cuda: sign bits are made and used as on the CPU") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(15);
  for (int round = 0; round < 60; ++round) {
    const DType dtype = random.one_of(numbers::kFloating);
    const std::int64_t count = random.integer(0, 3) == 0 ? random.integer(0, 20) : random.integer(0, 5000);
    const std::int64_t shift = random.integer(0, 2);
    CAPTURE(count);
    CAPTURE(std::string(name(dtype)));
    const Array x = numbers::unwritten({count + 3}, dtype).slice(0, shift, count + shift);
    write(x, any_values(random, dtype, count, true));
    const Array bits = numbers::unwritten({(count + 7) / 8}, DType::uint8), bits_there = moved(bits, cuda);
    cpu.backend().sign_bits(x, bits);
    cuda.backend().sign_bits(moved(x, cuda), bits_there);
    CHECK(same(bits, bits_there));
    const Array out = numbers::unwritten({count + 3}, dtype).slice(0, shift, count + shift),
                out_there = moved(out, cuda);
    cpu.backend().keep_bits(x, bits, out);
    cuda.backend().keep_bits(moved(x, cuda), bits_there, out_there);
    CHECK(same(out, out_there));
  }
}

TEST_CASE("cuda: random numbers and dropout are the CPU's, from any place of the stream") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(16);
  using Kind = RandomCall::Kind;
  for (int round = 0; round < 120; ++round) {
    const DType dtype = random.one_of(kDTypes);
    const std::int64_t count = random.integer(0, 2000);
    const auto offset =
        static_cast<std::uint64_t>(random.integer(0, 1) == 0 ? 4 * random.integer(0, 99) : random.integer(0, 99));
    const std::uint64_t seed = 0x123456789abcdefull * static_cast<std::uint64_t>(round + 1);
    CAPTURE(std::string(name(dtype)));
    CAPTURE(count);
    CAPTURE(offset);
    const Array out = numbers::unwritten({count}, dtype), out_there = moved(out, cuda);
    for (const RandomCall& call :
         {RandomCall{Kind::uniform, -0.3, 1.1, seed, offset}, RandomCall{Kind::integer, -3, 77, seed, offset},
          RandomCall{Kind::normal, 0.5, 2, seed, offset}}) {
      if (!is_floating(dtype) && call.kind != Kind::integer) continue;
      CAPTURE(static_cast<int>(call.kind));
      cpu.backend().random(call, out);
      cuda.backend().random(call, out_there);
      CHECK((call.kind == Kind::normal ? close(out, out_there, 4) : same(out, out_there)));
    }
    if (!is_floating(dtype)) continue;
    const std::int64_t shift = random.integer(0, 1);
    const Array x = numbers::unwritten({count + 1}, dtype).slice(0, shift, count + shift);
    write(x, any_values(random, dtype, count));
    const DropoutCall call{random.integer(0, 5) == 0 ? 1.0 : 0.3, seed, offset};
    cpu.backend().dropout(call, x, out);
    cuda.backend().dropout(call, moved(x, cuda), out_there);
    CHECK(same(out, out_there));
  }
}
