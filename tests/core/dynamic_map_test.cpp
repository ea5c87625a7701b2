// The map of 8-bit states, against its definition and numbers on paper.
#include <doctest/doctest.h>

#include <cmath>

#include <mnemo/core/dynamic_map.h>

#include "numbers.h"

using namespace mnemo;

TEST_CASE("dynamic map: the numbers of the paper, ascending") {
  const DynamicMap &with_sign = signed_map(), &without = unsigned_map();
  for (std::size_t i = 1; i < 256; ++i) {
    CHECK(with_sign[i - 1] < with_sign[i]);
    CHECK(without[i - 1] < without[i]);
  }
  // Six decimal exponents of zeros leave one interval [0.1, 1] with a sign, and two without: 0.55, or 0.325 and 0.775.
  CHECK(with_sign[127] == 0);
  CHECK(with_sign[128] == 5.5e-7F);
  CHECK(with_sign[126] == -5.5e-7F);
  CHECK(with_sign[129] == 3.25e-6F);
  CHECK(with_sign[130] == 7.75e-6F);
  CHECK(without[0] == 0);
  CHECK(without[1] == 3.25e-7F);
  CHECK(without[2] == 7.75e-7F);
  CHECK(without[3] == 2.125e-6F);
  // No zeros: 64 intervals with a sign, 128 without, the last midpoint half an interval below 1.
  CHECK(with_sign[255] == 1);
  CHECK(with_sign[254] == 0.99296875F);
  CHECK(with_sign[0] == -0.99296875F);
  CHECK(without[255] == 1);
  CHECK(without[254] == 0.996484375F);
}

TEST_CASE("dynamic map: the nearest code is the nearest one") {
  numbers::Generator random(1);
  int wrong = 0;
  for (const DynamicMap* map : {&signed_map(), &unsigned_map()}) {
    for (int i = 0; i < 255; ++i) wrong += nearest_code(*map, (*map)[static_cast<std::size_t>(i)]) != i;
    for (int trial = 0; trial < 20000; ++trial) {
      const double value = random.uniform(-1.2, 1.2) * std::pow(10, random.uniform(-8, 0));
      int best = 0;
      const auto distance = [&](int code) {
        return std::abs(static_cast<double>((*map)[static_cast<std::size_t>(code)]) - value);
      };
      for (int code = 1; code < 256; ++code) best = distance(code) < distance(best) ? code : best;
      wrong += nearest_code(*map, value) != best;
    }
  }
  CHECK(wrong == 0);
  CHECK(nearest_code(signed_map(), -5.0F) == 0);
  CHECK(nearest_code(signed_map(), 5.0F) == 255);
}
