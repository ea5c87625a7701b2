#include <doctest/doctest.h>

#include <bit>
#include <random>

#include "formats.h"

using namespace mnemo;
using namespace formats;

namespace {

template <class Half>
constexpr Format kFormat = std::is_same_v<Half, float16> ? kFloat16 : kBfloat16;
template <class Half>
constexpr std::uint16_t kInfinity = std::is_same_v<Half, float16> ? 0x7c00 : 0x7f80;

template <class Half, class From>
bool rounds(From value) {
  return same(plain(cast<Half>(value)), nearest(static_cast<double>(value), kFormat<Half>));
}

}  // namespace

TEST_CASE_TEMPLATE("half: every value becomes the float that its bits stand for, and comes back", Half, float16,
                   bfloat16) {
  int wrong = 0, lost = 0;
  for (int i = 0; i < 65536; ++i) {
    Half half;
    half.bits = static_cast<std::uint16_t>(i);
    const auto value = static_cast<float>(half);
    wrong += !same(static_cast<double>(value), plain(half));
    wrong += !same(cast<double>(half), plain(half));
    if (std::isnan(value))
      lost += !std::isnan(plain(Half(value))) || std::signbit(plain(Half(value))) != std::signbit(plain(half));
    else
      lost += Half(value).bits != half.bits || cast<Half>(static_cast<double>(value)).bits != half.bits;
  }
  CHECK(wrong == 0);
  CHECK(lost == 0);
}

// A double beside the midpoint rounds to it in float: rounding twice would then decide the tie instead of the side.
TEST_CASE_TEMPLATE("half: midpoints go to the even neighbour, and anything beside them to the nearer one", Half,
                   float16, bfloat16) {
  int wrong = 0;
  const auto largest = static_cast<std::uint16_t>(kInfinity<Half> - 1);
  for (std::uint16_t bits = 0; bits <= largest; ++bits) {
    const double low = decode(bits, kFormat<Half>);
    // Beyond the largest number the next step is where infinity begins.
    const double high = bits < largest ? decode(static_cast<std::uint16_t>(bits + 1), kFormat<Half>)
                                       : low + (low - decode(static_cast<std::uint16_t>(bits - 1), kFormat<Half>));
    const double middle = (low + high) / 2;
    const auto middle_float = static_cast<float>(middle);
    REQUIRE(static_cast<double>(middle_float) == middle);
    const std::uint16_t above = static_cast<std::uint16_t>(bits + 1), even = bits % 2 == 0 ? bits : above;
    for (const std::uint16_t sign : {0, 0x8000}) {
      const double s = sign != 0 ? -1 : 1;
      const auto sf = static_cast<float>(s);
      const auto is = [&](Half half, std::uint16_t expected) { wrong += half.bits != (expected | sign); };
      is(Half(sf * middle_float), even);
      is(Half(sf * std::nextafter(middle_float, 0.0f)), bits);
      is(Half(sf * std::nextafter(middle_float, std::numeric_limits<float>::infinity())), above);
      is(cast<Half>(s * middle), even);
      is(cast<Half>(s * std::nextafter(middle, 0.0)), bits);
      is(cast<Half>(s * std::nextafter(middle, 1e300)), above);
      is(cast<Half>(s * (middle - (high - low) * 0x1p-30)), bits);
      is(cast<Half>(s * (middle + (high - low) * 0x1p-30)), above);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("half: floats and doubles from all over round to nearest", Half, float16, bfloat16) {
  int wrong = 0;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4099)
    wrong += !rounds<Half>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  CHECK(wrong == 0);
  std::mt19937_64 random(1);
  for (int i = 0; i < 300000; ++i) {
    const double value = std::bit_cast<double>(random());
    wrong += !rounds<Half>(value);
    // The same digits in the range of the half type.
    int exponent = 0;
    const double digits = std::isfinite(value) ? std::frexp(value, &exponent) : 1.0;
    const double near = std::ldexp(digits, static_cast<int>(random() % 45) - 27);
    wrong += !rounds<Half>(near);
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("half: special values", Half, float16, bfloat16) {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(Half(infinity).bits == kInfinity<Half>);
  CHECK(Half(-infinity).bits == (kInfinity<Half> | 0x8000));
  CHECK(Half(0.0f).bits == 0);
  CHECK(Half(-0.0f).bits == 0x8000);
  CHECK(cast<Half>(1e300).bits == kInfinity<Half>);
  CHECK(cast<Half>(-1e-300).bits == 0x8000);
  for (const std::uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0x7f802000u, 0x7f80ffffu}) {
    CHECK(std::isnan(plain(Half(std::bit_cast<float>(bits)))));
  }
  CHECK(std::isnan(plain(cast<Half>(std::numeric_limits<double>::quiet_NaN()))));
}

// Takes about 10 seconds: run it with test-core --no-skip -tc="half: every float*".
TEST_CASE_TEMPLATE("half: every float rounds to nearest" * doctest::skip(), Half, float16, bfloat16) {
  const auto bits_of = [](double value) { return std::bit_cast<std::uint32_t>(static_cast<float>(value)); };
  std::uint64_t wrong = 0, seen = 0;
  for (std::uint32_t sign = 0; sign < 2; ++sign) {
    for (std::uint16_t bits = 0; bits < kInfinity<Half>; ++bits) {
      const std::uint16_t above = static_cast<std::uint16_t>(bits + 1), even = bits % 2 == 0 ? bits : above;
      const double low = decode(bits, kFormat<Half>);
      const double high = above < kInfinity<Half>
                              ? decode(above, kFormat<Half>)
                              : low + (low - decode(static_cast<std::uint16_t>(bits - 1), kFormat<Half>));
      const std::uint32_t first = bits_of(low), middle = bits_of((low + high) / 2);
      const std::uint32_t end = above < kInfinity<Half> ? bits_of(high) : 0x7f800000u;
      for (std::uint32_t f = first; f < end; ++f, ++seen) {
        const std::uint16_t expected = f < middle ? bits : f > middle ? above : even;
        wrong += Half(std::bit_cast<float>(f | sign << 31)).bits != (expected | sign << 15);
      }
    }
    for (std::uint32_t f = 0x7f800000u; f < 0x80000000u; ++f, ++seen) {
      const std::uint16_t half = Half(std::bit_cast<float>(f | sign << 31)).bits;
      wrong += half >> 15 != sign;
      wrong += f == 0x7f800000u ? (half & 0x7fffu) != kInfinity<Half> : (half & 0x7fffu) <= kInfinity<Half>;
    }
  }
  CHECK(wrong == 0);
  CHECK(seen == std::uint64_t{1} << 32);
}
