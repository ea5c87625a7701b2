// map, compare, copy and fill on views of every kind, against plain loops.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

#include "views.h"

using namespace mnemo;
using namespace views;
using numbers::Threads;

namespace {

constexpr BinaryOp kBinary[] = {BinaryOp::add,    BinaryOp::subtract, BinaryOp::multiply,
                                BinaryOp::divide, BinaryOp::maximum,  BinaryOp::minimum};
constexpr CompareOp kCompare[] = {CompareOp::equal, CompareOp::less, CompareOp::less_equal};
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

/// The result before it is rounded to the dtype. Operands are small, so the double is exact for all but quotients.
double combined(BinaryOp op, DType dtype, double a, double b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::subtract:
      return a - b;
    case BinaryOp::multiply:
      return a * b;
    case BinaryOp::divide:
      if (!is_floating(dtype)) return b == 0 ? 0 : std::trunc(a / b);
      // Half types divide in float.
      return is_half(dtype) ? static_cast<double>(static_cast<float>(a) / static_cast<float>(b)) : a / b;
    case BinaryOp::maximum:
      return std::isnan(a) || std::isnan(b) ? kNaN : std::max(b, a);
    case BinaryOp::minimum:
      break;
  }
  return std::isnan(a) || std::isnan(b) ? kNaN : std::min(b, a);
}

bool compared(CompareOp op, double a, double b) {
  return op == CompareOp::equal ? a == b : op == CompareOp::less ? a < b : a <= b;
}

/// What the dtype makes of an exact number.
double stored(double value, DType dtype) {
  switch (dtype) {
    case DType::int64:
    case DType::int32:
      return value;
    case DType::uint8:
      return value - 256 * std::floor(value / 256);
    case DType::boolean:
      return value != 0 ? 1 : 0;
    default:
      return formats::nearest(value, formats::format_of(dtype));
  }
}

/// A shape that broadcasts to `shape`: leading axes dropped, others of size 1.
Shape narrower(Generator& random, const Shape& shape) {
  Dims sizes;
  for (int axis = static_cast<int>(random.integer(0, shape.rank())); axis < shape.rank(); ++axis)
    sizes.push_back(random.integer(0, 2) == 0 ? 1 : shape[axis]);
  return Shape(sizes);
}

Array filled(Generator& random, const Shape& shape, DType dtype, bool special = true) {
  const Array array = scattered(random, shape, dtype);
  write(array, any_values(random, dtype, shape.numel(), special));
  return array;
}

/// -0 and 0 are equal here: which of the two a maximum gives is not promised.
bool equal_values(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](double x, double y) {
           return x == y || (std::isnan(x) && std::isnan(y));
         });
}

}  // namespace

TEST_CASE("map and compare: binary operations broadcast and promote over any strides") {
  Generator random(1);
  for (int round = 0; round < 4000; ++round) {
    const Shape shape = any_shape(random);
    const bool left_narrow = random.integer(0, 2) == 0;
    const DType types[] = {random.one_of(kDTypes), random.one_of(kDTypes)};
    const Array a = filled(random, left_narrow ? narrower(random, shape) : shape, types[0]);
    const Array b = filled(random, left_narrow ? shape : narrower(random, shape), types[1]);
    const DType dtype = promote(types[0], types[1]);
    const auto left = elements(a.expand(shape)), right = elements(b.expand(shape));
    const BinaryOp op = random.one_of(kBinary);
    const CompareOp relation = random.one_of(kCompare);
    CAPTURE(std::string(name(op)));
    CAPTURE(std::string(name(types[0])));
    CAPTURE(std::string(name(types[1])));
    CAPTURE(a.layout().strides.text());
    CAPTURE(b.layout().strides.text());
    CAPTURE(shape.text());
    std::vector<double> expected, truth;
    for (std::size_t i = 0; i < left.size(); ++i) {
      expected.push_back(stored(combined(op, dtype, left[i], right[i]), dtype));
      truth.push_back(compared(relation, left[i], right[i]) ? 1 : 0);
    }
    const Array result = map(op, a, b), relations = compare(relation, a, b);
    CHECK(result.shape() == shape);
    CHECK(result.dtype() == dtype);
    CHECK(equal_values(elements(result), expected));
    CHECK(relations.dtype() == DType::boolean);
    CHECK(elements(relations) == truth);
  }
}

TEST_CASE("map_into: a view changes in place, its neighbours do not") {
  Generator random(2);
  for (int round = 0; round < 3000; ++round) {
    const Shape shape = any_shape(random);
    const DType dtype = random.one_of(kDTypes);
    const Array out = filled(random, shape, dtype), b = filled(random, narrower(random, shape), dtype);
    const auto before = memory_of(out);
    const auto left = elements(out), right = elements(b.expand(shape));
    const BinaryOp op = random.one_of(kBinary);
    CAPTURE(std::string(name(op)));
    CAPTURE(std::string(name(dtype)));
    CAPTURE(shape.text());
    CAPTURE(out.strides().text());
    std::vector<double> expected;
    for (std::size_t i = 0; i < left.size(); ++i)
      expected.push_back(stored(combined(op, dtype, left[i], right[i]), dtype));
    const auto version = out.storage()->version();
    map_into(op, out, b, out);
    CHECK(equal_values(elements(out), expected));
    CHECK_FALSE(gaps_changed(out, before));
    CHECK(out.storage()->version() == version + 1);
  }
}

TEST_CASE("copy and fill: any strides, every pair of dtypes, nothing beside them is touched") {
  Generator random(3);
  for (int round = 0; round < 4000; ++round) {
    const Shape shape = any_shape(random);
    const DType from_type = random.one_of(kDTypes), to_type = random.one_of(kDTypes);
    const Array from = filled(random, narrower(random, shape), from_type, false), to = filled(random, shape, to_type);
    const auto before = memory_of(to);
    CAPTURE(std::string(name(from_type)));
    CAPTURE(std::string(name(to_type)));
    CAPTURE(shape.text());
    CAPTURE(to.strides().text());
    std::vector<double> expected;
    for (double value : elements(from.expand(shape))) {
      expected.push_back(is_floating(to_type) || to_type == DType::boolean ? stored(value, to_type)
                                                                           : stored(std::trunc(value), to_type) + 0.0);
    }
    copy_into(from, to);
    CHECK(equal_values(elements(to), expected));
    CHECK_FALSE(gaps_changed(to, before));
    fill(to, 3);
    CHECK(elements(to) == std::vector<double>(expected.size(), to_type == DType::boolean ? 1 : 3));
    CHECK_FALSE(gaps_changed(to, before));
    const Array row_major = to.contiguous();
    CHECK(row_major.is_contiguous());
    CHECK(row_major.values<double>() == elements(to));
  }
}

TEST_CASE("map_into and copy_into: an operand that shares memory is read as it was before") {
  for (DType dtype : kDTypes) {
    const Array x({2, 2}, dtype, "cpu");
    write(x, {0, 1, 1, 1});
    write(x, dtype == DType::boolean ? std::vector<double>{0, 1, 0, 1} : std::vector<double>{1, 2, 3, 4});
    copy_into(x.transpose(0, 1), x);
    CHECK(elements(x) == (dtype == DType::boolean ? std::vector<double>{0, 0, 1, 1} : std::vector<double>{1, 3, 2, 4}));
    map_into(BinaryOp::add, x, x.transpose(0, 1), x);
    CHECK(elements(x) == (dtype == DType::boolean ? std::vector<double>{0, 1, 1, 1} : std::vector<double>{2, 5, 5, 8}));
    map_into(BinaryOp::add, x, x.slice(0, 0, 1), x);
    CHECK(elements(x) ==
          (dtype == DType::boolean ? std::vector<double>{0, 1, 1, 1} : std::vector<double>{4, 10, 7, 13}));
  }
}

TEST_CASE("map: unary operations over any strides keep dense strides and agree with the C library") {
  struct Row {
    UnaryOp op;
    double (*reference)(double);
  };
  const Row rows[] = {{UnaryOp::neg, [](double x) { return -x; }},
                      {UnaryOp::affine, [](double x) { return 0.5 * x + 2; }},
                      {UnaryOp::abs, [](double x) { return std::abs(x); }},
                      {UnaryOp::exp, [](double x) { return std::exp(x); }},
                      {UnaryOp::log, [](double x) { return std::log(x); }},
                      {UnaryOp::sqrt, [](double x) { return std::sqrt(x); }},
                      {UnaryOp::relu, [](double x) { return std::isnan(x) ? x : std::max(x, 0.0); }},
                      {UnaryOp::tanh, [](double x) { return std::tanh(x); }},
                      {UnaryOp::leaky_relu, [](double x) { return x > 0 ? x : 0.5 * x; }},
                      {UnaryOp::clamp, [](double x) { return std::isnan(x) ? x : std::min(std::max(x, 0.5), 2.0); }}};
  Generator random(4);
  for (int round = 0; round < 3000; ++round) {
    const Row row = random.one_of(rows);
    const UnaryOp op = row.op;
    const Array x = filled(random, any_shape(random), random.one_of(numbers::kFloating));
    CAPTURE(std::string(name(op)));
    CAPTURE(std::string(name(x.dtype())));
    CAPTURE(x.shape().text());
    CAPTURE(x.strides().text());
    std::vector<double> expected;
    for (double value : elements(x)) expected.push_back(row.reference(value));
    const Array y = map(op, x, {0.5, 2});
    CHECK(numbers::error_of(y, expected, expected) <= 1);
    if (x.layout().is_dense() && !x.is_contiguous())
      CHECK(y.strides() == x.strides());
    else
      CHECK(y.is_contiguous());
    const auto before = memory_of(x);
    map_into(op, x, x, {0.5, 2});
    CHECK(equal_values(elements(x), elements(y)));
    CHECK_FALSE(gaps_changed(x, before));
  }
}

TEST_CASE("map: channels-last strides are kept, whichever operand has them") {
  const Array x = Array({2, 4, 5, 3}, DType::float32, "cpu").permute({0, 3, 1, 2});
  const Array bias({3, 1, 1}, DType::float32, "cpu");
  CHECK(map(BinaryOp::add, x, bias).strides() == x.strides());
  CHECK(map(BinaryOp::add, bias, x).strides() == x.strides());
  CHECK(map(BinaryOp::multiply, x, x).strides() == x.strides());
  CHECK(compare(CompareOp::less, x, bias).strides() == x.strides());
  CHECK(x.to(DType::float16).strides() == x.strides());
  CHECK(x.slice(1, 0, 2).to(DType::float16).is_contiguous());
}

TEST_CASE("map: NaN wins in maximum, minimum, relu and clamp") {
  const Array x = Array::from<double>({kNaN, 1, kNaN, -kInfinity}, {4}, "cpu"),
              y = Array::from<double>({1, kNaN, kNaN, kInfinity}, {4}, "cpu");
  CHECK(same_values(map(BinaryOp::maximum, x, y).values<double>(), {kNaN, kNaN, kNaN, kInfinity}));
  CHECK(same_values(map(BinaryOp::minimum, x, y).values<double>(), {kNaN, kNaN, kNaN, -kInfinity}));
  CHECK(same_values(map(UnaryOp::relu, x).values<double>(), {kNaN, 1, kNaN, 0}));
  CHECK(same_values(map(UnaryOp::clamp, x, {-1, 1}).values<double>(), {kNaN, 1, kNaN, -1}));
  CHECK(elements(compare(CompareOp::equal, x, x)) == std::vector<double>{0, 1, 0, 1});
  CHECK(elements(compare(CompareOp::less_equal, x, y)) == std::vector<double>{0, 0, 0, 1});
}

// Signed overflow is undefined in C++, and 200 / 255 was 56: the divisor looked like -1.
TEST_CASE("map: integers wrap around, and division truncates") {
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                         high = std::numeric_limits<std::int64_t>::max();
  const Array a = Array::from<std::int64_t>({high, low, low, 7, -7, 7}, {6}, "cpu"),
              b = Array::from<std::int64_t>({1, 1, -1, -2, 2, 0}, {6}, "cpu");
  CHECK(map(BinaryOp::add, a, b).values<std::int64_t>() == std::vector<std::int64_t>{low, low + 1, high, 5, -5, 7});
  CHECK(map(BinaryOp::subtract, a, b).values<std::int64_t>() ==
        std::vector<std::int64_t>{high - 1, high, low + 1, 9, -9, 7});
  CHECK(map(BinaryOp::multiply, a, Array::from<std::int64_t>({2}, {1}, "cpu")).values<std::int64_t>() ==
        std::vector<std::int64_t>{-2, 0, 0, 14, -14, 14});
  CHECK(map(BinaryOp::divide, a, b).values<std::int64_t>() == std::vector<std::int64_t>{high, low, low, -3, -3, 0});
  CHECK(functors::Divide::forward<std::uint8_t>(200, 255) == 0);
  CHECK(functors::Divide::forward<std::uint8_t>(255, 255) == 1);
  CHECK(functors::Divide::forward<std::int32_t>(std::numeric_limits<std::int32_t>::min(), -1) ==
        std::numeric_limits<std::int32_t>::min());
  CHECK(functors::Multiply::forward<std::int32_t>(1 << 30, 6) == std::numeric_limits<std::int32_t>::min());
  const Array sum = reduce(ReduceOp::sum, Array::from<std::int64_t>({high, 1, 5}, {3}, "cpu"), 1u);
  CHECK(sum.values<std::int64_t>() == std::vector<std::int64_t>{low + 5});
}

TEST_CASE("map: large arrays have the same bits on any number of threads") {
  Generator random(5);
  const Shape shape{37, 61, 53};
  const Array x = random.array(shape, DType::float32).transpose(0, 2),
              y = random.array({53, 61, 37}, DType::float16, 1, 2);
  Array first, copied;
  for (int threads = 1; threads <= 3; ++threads) {
    const Threads scope(threads);
    const Array result = map(BinaryOp::divide, map(UnaryOp::exp, x), y), dense = x.to(DType::bfloat16).contiguous();
    if (threads == 1) first = result, copied = dense;
    CHECK(numbers::same_bits(result, first));
    CHECK(numbers::same_bits(dense, copied));
  }
  const auto values = elements(x);
  std::vector<double> expected;
  for (double value : values) expected.push_back(formats::nearest(value, formats::kBfloat16));
  CHECK(copied.values<double>() == expected);
}
