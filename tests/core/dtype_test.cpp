#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <mnemo/core/error.h>

#include "formats.h"
#include "numbers.h"

using namespace mnemo;
using namespace formats;

namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max(),
                       kSmallest = std::numeric_limits<std::int64_t>::min();

/// What casting to T should give, as a double.
template <class T>
double expected_from(double value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != 0 ? 1 : 0;
  } else if constexpr (!std::is_integral_v<T>) {
    return nearest(value, format_of(dtype_of<T>()));
  } else {
    if (!(value >= -0x1p63 && value < 0x1p63)) return 0;
    // Integers keep their low bits.
    const double steps = std::ldexp(1.0, 8 * static_cast<int>(sizeof(T)));
    double low = std::fmod(std::trunc(value), steps);
    if (low < (std::is_signed_v<T> ? -steps / 2 : 0)) low += steps;
    if (low >= (std::is_signed_v<T> ? steps / 2 : steps)) low -= steps;
    return low + 0.0;  // no negative zero
  }
}

/// Numbers that T holds, with the edges of every other type among them.
template <class T>
std::vector<T> samples() {
  std::vector<T> result;
  if constexpr (std::is_same_v<T, bool>) {
    return {false, true};
  } else if constexpr (std::is_integral_v<T>) {
    for (std::int64_t value :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{2}, std::int64_t{127}, std::int64_t{128}, std::int64_t{255},
          std::int64_t{256}, std::int64_t{-1}, std::int64_t{-128}, std::int64_t{2049}, std::int64_t{65519},
          std::int64_t{65520}, (std::int64_t{1} << 24) + 1, (std::int64_t{1} << 31) - 1, std::int64_t{1} << 31,
          -(std::int64_t{1} << 31), (std::int64_t{1} << 32) + 5}) {
      result.push_back(static_cast<T>(value));
    }
  } else {
    for (double value : {0.0,
                         -0.0,
                         1.0,
                         -1.0,
                         0.5,
                         -0.5,
                         0.99,
                         -0.99,
                         1.5,
                         2.5,
                         -2.5,
                         127.9,
                         128.0,
                         255.0,
                         255.5,
                         256.0,
                         300.7,
                         -300.7,
                         2049.0,
                         65504.0,
                         65519.9,
                         65520.0,
                         1e5,
                         0x1p31 - 1,
                         0x1p31,
                         -0x1p31,
                         -0x1p31 - 1,
                         0x1p32 + 5,
                         0x1p53,
                         0x1p62,
                         0x1p63 - 1024,
                         0x1p63,
                         -0x1p63,
                         -0x1p63 - 2048,
                         1e20,
                         1e300,
                         -1e300,
                         0x1p-14,
                         0x1p-24,
                         0x1p-25,
                         0x1.8p-25,
                         0x1p-133,
                         0x1p-149,
                         5e-324,
                         1e-310,
                         static_cast<double>(std::numeric_limits<float>::max()),
                         std::numeric_limits<double>::infinity(),
                         -std::numeric_limits<double>::infinity(),
                         std::numeric_limits<double>::quiet_NaN()}) {
      if constexpr (std::is_same_v<T, double>)
        result.push_back(value);
      else if (double near = nearest(value, format_of(dtype_of<T>())); !(std::isinf(near) && !std::isinf(value)))
        result.push_back(T(static_cast<float>(near)));
    }
  }
  return result;
}

}  // namespace

TEST_CASE("cast: every pair of dtypes agrees with the definition, on its own and over arrays") {
  for (DType from : kDTypes) {
    visit(from, [&](auto zero) {
      using From = decltype(zero);
      const std::vector<From> values = samples<From>();
      Array array({static_cast<std::int64_t>(values.size())}, from, "cpu");
      for (std::size_t i = 0; i < values.size(); ++i) array.data<From>()[i] = values[i];
      for (DType to : kDTypes) {
        visit(to, [&](auto target) {
          using To = decltype(target);
          const Array result = array.to(to);
          for (std::size_t i = 0; i < values.size(); ++i) {
            CAPTURE(std::string(name(from)));
            CAPTURE(std::string(name(to)));
            CAPTURE(plain(values[i]));
            const double expected = expected_from<To>(plain(values[i]));
            CHECK(same(plain(cast<To>(values[i])), expected));
            CHECK(same(plain(result.data<To>()[i]), expected));
          }
        });
      }
    });
  }
}

// Through a double, 2^62 + 2^54 + 1 became a tie.
TEST_CASE("cast: large integers round once") {
  std::vector<std::int64_t> values{kLargest, kSmallest, kLargest - 1, kSmallest + 1};
  for (int p = 1; p < 63; ++p) {
    for (int q = 0; q < p; ++q) {
      for (std::int64_t beside = -1; beside <= 1; ++beside) {
        const std::int64_t value = (std::int64_t{1} << p) + (std::int64_t{1} << q) + beside;
        values.push_back(value);
        values.push_back(-value);
      }
    }
  }
  int wrong = 0;
  for (const std::int64_t value : values) {
    wrong += !same(plain(cast<float16>(value)), nearest(value, kFloat16));
    wrong += !same(plain(cast<bfloat16>(value)), nearest(value, kBfloat16));
    wrong += !same(plain(cast<float>(value)), nearest(value, kFloat32));
    wrong += !same(cast<double>(value), nearest(value, kFloat64));
    wrong += cast<std::int32_t>(value) !=
             static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::uint64_t>(value)));
    wrong += cast<std::uint8_t>(value) != (static_cast<std::uint64_t>(value) & 0xff);
  }
  CHECK(wrong == 0);
}

TEST_CASE("dtype: names, sizes and the element type of each") {
  for (DType dtype : kDTypes) {
    CHECK(parse_dtype(name(dtype)) == dtype);
    visit(dtype, [&](auto zero) {
      CHECK(dtype_of<decltype(zero)>() == dtype);
      CHECK(size_of(dtype) == static_cast<int>(sizeof(zero)));
    });
  }
  CHECK(std::string(name(DType::boolean)) == "bool");
  CHECK(is_floating(DType::bfloat16));
  CHECK_FALSE(is_floating(DType::int64));
  CHECK(is_half(DType::float16));
  CHECK_FALSE(is_half(DType::float32));
  for (const char* text : {"", "float", "Float32", "float32 ", "half", "int8"})
    CHECK_THROWS_AS(parse_dtype(text), DTypeError);
  CHECK_THROWS_WITH(
      parse_dtype("half"),
      "unknown dtype \"half\"; the dtypes are float64, float32, float16, bfloat16, int64, int32, uint8, bool");
}

TEST_CASE("promote: the whole table") {
  // Rows and columns in the order of kDTypes; d f h b l i u o: float64, float32, float16, bfloat16, int64, int32,
  // uint8, bool.
  const std::string letters = "dfhbliuo";
  const char* table[] = {"dddddddd", "dfffffff", "dfhfhhhh", "dffbbbbb",
                         "dfhbllll", "dfhbliii", "dfhbliuu", "dfhbliuo"};
  for (std::size_t row = 0; row < 8; ++row) {
    for (std::size_t column = 0; column < 8; ++column) {
      CAPTURE(std::string(name(kDTypes[row])));
      CAPTURE(std::string(name(kDTypes[column])));
      CHECK(promote(kDTypes[row], kDTypes[column]) == kDTypes[letters.find(table[row][column])]);
    }
  }
}
