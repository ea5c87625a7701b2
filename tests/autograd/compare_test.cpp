#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include <mnemo/core/error.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

using Flags = std::vector<bool>;

Tensor booleans(const std::vector<std::uint8_t>& values) {
  return to(tensor<std::uint8_t>(values, {static_cast<std::int64_t>(values.size())}), DType::boolean);
}

OpRow where_row(const Shape& condition, const Shape& a, const Shape& b) {
  return {"where " + condition.text() + a.text() + b.text(),
          {{condition, -1, 1, {}, false}, {a}, {b}},
          [](const Tensors& x) { return where(less(x[0], 0), x[1], x[2]); },
          [](const Plains& x) {
            return filled(broadcast_sizes(x[0].sizes, broadcast_sizes(x[1].sizes, x[2].sizes)), [&](const Index& at) {
              return x[0].broadcast_at(at) < 0 ? x[1].broadcast_at(at) : x[2].broadcast_at(at);
            });
          }};
}

}  // namespace

TEST_CASE("op rows: where") {
  std::vector<OpRow> rows{where_row({3, 5}, {3, 5}, {3, 5}),
                          where_row({3, 5}, {5}, {3, 1}),
                          where_row({5}, {3, 5}, {}),
                          where_row({4, 1}, {}, {3}),
                          where_row({}, {2, 3}, {3}),
                          where_row({2, 3, 4, 5}, {2, 3, 4, 5}, {3, 1, 1}),
                          where_row({2, 1, 4, 5}, {4, 5}, {1, 3, 1, 1}),
                          where_row({7}, {1}, {7}),
                          where_row({0, 3}, {3}, {0, 1}),
                          where_row({}, {}, {})};
  rows.front().large = {{{300, 401}, -1, 1, {}, false}, {{300, 401}}, {{401}}};
  rows.push_back({"where with numbers",
                  {{{3, 5}, -1, 1, {}, false}, {{3, 1}}},
                  [](const Tensors& x) { return where(less(x[0], 0), where(less(x[0], -0.5), 7, x[1]), -2.5); },
                  [](const Plains& x) {
                    return mapped(x[0], x[1], [](double c, double a) { return c < -0.5 ? 7 : c < 0 ? a : -2.5; });
                  }});
  check(rows);
}

TEST_CASE("where: what is not chosen does not matter, in the value and in the gradient") {
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor a = tensor<double>({1, kNan, inf, -inf}, {4}, "cpu", true);
  const Tensor b = tensor<double>({kNan, 2, 3, kNan}, {4}, "cpu", true);
  const Tensor y = where(booleans({true, false, false, true}), a, b);
  CHECK(y.values<double>() == std::vector<double>{1, 2, 3, -inf});
  y.backward(tensor<double>({10, 20, kNan, 40}, {4}));
  CHECK(a.grad().values<double>() == std::vector<double>{10, 0, 0, 40});
  CHECK(std::isnan(b.grad().values<double>()[2]));
  CHECK(b.grad().values<double>()[0] == 0);
  CHECK(b.grad().values<double>()[1] == 20);
}

TEST_CASE("where: integers to their limits, booleans, and what promotes") {
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                         high = std::numeric_limits<std::int64_t>::max();
  const Tensor flags = booleans({true, false});
  CHECK(where(flags, tensor<std::int64_t>({low, low}, {2}), tensor<std::int64_t>({high, high}, {2}))
            .values<std::int64_t>() == std::vector<std::int64_t>{low, high});
  CHECK(where(flags, tensor<std::uint8_t>({3, 3}, {2}), 200).values<int>() == std::vector<int>{3, 200});
  CHECK(where(flags, 5, tensor<std::uint8_t>({3, 3}, {2})).dtype() == DType::uint8);
  for (const bool a : {false, true}) {
    for (const bool b : {false, true}) {
      const Tensor y = where(flags, booleans({a}), booleans({b}));
      CHECK(y.dtype() == DType::boolean);
      CHECK(y.values<bool>() == Flags{a, b});
    }
  }
  CHECK(where(flags, tensor<float>({0.5F}, {1}), tensor<std::int64_t>({7}, {1})).dtype() == DType::float32);
  const Tensor x = tensor<float>({1, 2}, {2}, "cpu", true);
  sum(where(flags, x, tensor<double>({7}, {1}))).backward();
  CHECK(x.grad().dtype() == DType::float32);
}

TEST_CASE("where: a zero that is chosen keeps its sign") {
  const Tensor zeros_of_both = tensor<float>({0.0F, -0.0F}, {2});
  for (const Tensor& y :
       {where(booleans({true, true}), zeros_of_both, 1), where(booleans({false}), 1, zeros_of_both)}) {
    const std::vector<float> found = y.values<float>();
    CHECK(!std::signbit(found[0]));
    CHECK(std::signbit(found[1]));
  }
}

TEST_CASE("where keeps the condition alone, a byte for each of its own elements") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const Tensor x = zeros({64, 1024}, {.requires_grad = true}), y = zeros({64, 1024}, {.requires_grad = true});
  const Tensor row = zeros({1024});
  const auto saved = [&] {
    return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
  };
  const Tensor z = where(less(row, 1), x, y);
  CHECK(saved() == 1024);
  const Tensor w = where(less(x, 1), z, 0.0);
  CHECK(saved() == 1024 + 64 * 1024);
  CHECK(where(less(row, 1), x.detach(), 0.0).requires_grad() == false);
  CHECK(saved() == 1024 + 64 * 1024);
}

TEST_CASE("comparisons: of tensors and with a number, of every dtype, broadcast; NaN is not equal to itself") {
  using Comparison = Tensor (*)(const Tensor&, const Tensor&);
  using WithNumber = Tensor (*)(const Tensor&, Number);
  struct Row {
    Comparison op;
    WithNumber with;
    bool (*expected)(double, double);
  };
  const Row all[] = {{equal, equal, [](double a, double b) { return a == b; }},
                     {not_equal, not_equal, [](double a, double b) { return a != b; }},
                     {less, less, [](double a, double b) { return a < b; }},
                     {less_equal, less_equal, [](double a, double b) { return a <= b; }},
                     {greater, greater, [](double a, double b) { return a > b; }},
                     {greater_equal, greater_equal, [](double a, double b) { return a >= b; }}};
  const std::vector<double> numbers{0, 1, 2, 3, 1};
  for (std::size_t i = 0; i < std::size(all); ++i) {
    CAPTURE(i);
    for (const DType dtype : kDTypes) {
      CAPTURE(std::string(name(dtype)));
      const Tensor a = to(tensor<double>(numbers, {5, 1}), dtype), b = to(tensor<double>({1, 3}, {2}), dtype);
      const auto as = a.values<double>(), bs = b.values<double>();
      Flags expected, of_two, of_half;
      for (const double x : as) {
        for (const double y : bs) expected.push_back(all[i].expected(x, y));
        of_two.push_back(all[i].expected(x, 2));
        of_half.push_back(all[i].expected(x, 0.5));
      }
      CHECK(all[i].op(a, b).shape() == Shape{5, 2});
      CHECK(all[i].op(a, b).dtype() == DType::boolean);
      CHECK(all[i].op(a, b).values<bool>() == expected);
      CHECK(all[i].with(a, 2).values<bool>() == of_two);
      CHECK(all[i].with(a, 0.5).values<bool>() == of_half);
    }
    const Tensor nan = tensor<double>({kNan}, {1}, "cpu", true);
    CHECK(all[i].op(nan, nan).values<bool>() == Flags{all[i].expected(kNan, kNan)});
    CHECK(all[i].with(nan, kNan).values<bool>() == Flags{all[i].expected(kNan, kNan)});
    CHECK_FALSE(all[i].op(nan, nan).requires_grad());
  }
  CHECK(equal(booleans({true, false}), false).values<bool>() == Flags{false, true});
  CHECK(equal(tensor<std::int64_t>({9007199254740993}, {1}), std::int64_t{9007199254740993}).values<bool>() ==
        Flags{true});
  CHECK(equal(tensor<std::int64_t>({9007199254740992}, {1}), std::int64_t{9007199254740993}).values<bool>() ==
        Flags{false});
}

TEST_CASE("a tensor and a number: the kind of the number decides with the tensor's dtype, and never its value") {
  const Tensor counts = tensor<std::int64_t>({7, -7}, {2}), flags = booleans({true, false});
  const auto check_integers = [](const Tensor& x, DType dtype, const std::vector<std::int64_t>& expected) {
    CHECK(x.dtype() == dtype);
    CHECK(x.values<std::int64_t>() == expected);
  };
  check_integers(counts + 2, DType::int64, {9, -5});
  check_integers(2 + counts, DType::int64, {9, -5});
  check_integers(counts - 2, DType::int64, {5, -9});
  check_integers(2 - counts, DType::int64, {-5, 9});
  check_integers(counts * 3, DType::int64, {21, -21});
  check_integers(3 * counts, DType::int64, {21, -21});
  check_integers(counts / 2, DType::int64, {3, -3});
  check_integers(15 / counts, DType::int64, {2, -2});
  check_integers(counts / 0, DType::int64, {0, 0});
  check_integers(-counts, DType::int64, {-7, 7});
  check_integers(counts + std::int64_t{9007199254740993}, DType::int64, {9007199254741000, 9007199254740986});
  check_integers(to(counts, DType::int32) + 2, DType::int32, {9, -5});
  check_integers(to(counts, DType::uint8) + 250, DType::uint8, {1, 243});
  check_integers(flags + 2, DType::int64, {3, 2});
  check_integers(flags + true, DType::boolean, {1, 1});
  check_integers(-flags, DType::int64, {-1, 0});

  const Tensor halves = counts / 2.0;
  CHECK(halves.dtype() == DType::float32);
  CHECK(halves.values<double>() == std::vector<double>{3.5, -3.5});
  CHECK((counts + 2.0).dtype() == DType::float32);
  CHECK((2.5F * flags).values<double>() == std::vector<double>{2.5, 0});
  for (const DType dtype : {DType::float64, DType::float32, DType::float16, DType::bfloat16}) {
    const Tensor x = to(tensor<double>({1.5, 3}, {2}), dtype);
    for (const Tensor& y : {x + 2, x * 2.0, 2 - x, true * x, 3 / x, x / 2}) CHECK(y.dtype() == dtype);
    CHECK((3 / x).values<double>() == std::vector<double>{2, 1});
    CHECK((x / 2).values<double>() == std::vector<double>{0.75, 1.5});
  }
  check_integers(counts, DType::int64, {7, -7});
}

TEST_CASE("a number in place: integers stay integers, and what would not is refused") {
  Tensor counts = tensor<std::int64_t>({7, -7}, {2});
  add_(counts, 3);
  mul_(counts, -2);
  CHECK(counts.values<std::int64_t>() == std::vector<std::int64_t>{-20, 8});
  CHECK_THROWS_AS(add_(counts, 0.5), DTypeError);
  CHECK_THROWS_AS(mul_(counts, 2.0), DTypeError);
  CHECK(counts.values<std::int64_t>() == std::vector<std::int64_t>{-20, 8});
}

TEST_CASE("one_hot: a 1 at every index, of the dtype that is asked for") {
  const Tensor index = tensor<std::int64_t>({2, 0, 1, 1}, {2, 2});
  const Tensor y = one_hot(index, 3);
  CHECK(y.shape() == Shape{2, 2, 3});
  CHECK(y.values<std::int64_t>() == std::vector<std::int64_t>{0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0});
  CHECK(one_hot(index, 3, DType::bfloat16).dtype() == DType::bfloat16);
  CHECK(one_hot(tensor<std::int64_t>({1}, {}), 2).values<std::int64_t>() == std::vector<std::int64_t>{0, 1});
  CHECK(one_hot(index, 3, DType::boolean).dtype() == DType::boolean);
  CHECK_THROWS_WITH_AS((void)one_hot(index, 2), doctest::Contains("index 2 in (2, 2) is no class: allowed are 0 to 1"),
                       ShapeError);
  CHECK_THROWS_AS((void)one_hot(index, 0), ShapeError);
  CHECK_THROWS_WITH_AS((void)one_hot(ones({2}), 2), doctest::Contains("float32"), DTypeError);
}
