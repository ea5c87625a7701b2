#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <mnemo/core/elementary.h>

namespace {

#ifdef __FMA__
constexpr double kAllowed = 1.4;  // units in the last place; the header says what was found over all floats
#else
constexpr double kAllowed = 2;
#endif

double unit_in_the_last_place(float at) {
  const float size = std::fabs(at);
  const float above = std::nextafter(size, std::numeric_limits<float>::infinity());
  return std::isfinite(above) ? double{above} - double{size} : 0x1p104;
}

/// One float in 4099 of all, and those around where the functions change their formulas.
std::vector<float> arguments() {
  std::vector<float> result;
  for (std::uint64_t bits = 0; bits < 1ull << 32; bits += 4099) {
    result.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (float edge : {0.0F, 0.625F, 1.0F, 4.0F, 9.0F, 87.3365F, 88.7228F, 89.0F, 103.2789F, 103.9721F, 104.0F}) {
    for (int step = -2000; step <= 2000; ++step) {
      const float size = edge + static_cast<float>(step) * std::max(edge, 1e-30F) * 0x1p-23F;
      result.push_back(size), result.push_back(-size);
    }
  }
  return result;
}

template <class Function, class Reference>
void check(const Function& function, const Reference& reference) {
  const std::vector<float> x = arguments();
  std::vector<float> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = function(x[i]);
  double worst = 0;
  float worst_at = 0;
  int lost = 0, differing = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const volatile float alone = x[i];  // outside of every vector
    differing += std::bit_cast<std::uint32_t>(function(alone)) != std::bit_cast<std::uint32_t>(y[i]);
    if (std::isnan(x[i])) {
      lost += !std::isnan(y[i]);
      continue;
    }
    const auto bounded = [](double value) { return std::min(value, 0x1p128); };  // where floats would go on
    const double expected = bounded(reference(double{x[i]}));
    const double error =
        std::fabs(bounded(double{y[i]}) - expected) / unit_in_the_last_place(static_cast<float>(expected));
    if (error > worst) worst = error, worst_at = x[i];
  }
  CAPTURE(worst_at);
  CHECK(worst <= kAllowed);
  CHECK(lost == 0);
  CHECK(differing == 0);
}

}  // namespace

TEST_CASE("elementary: exp of floats is that of doubles, rounded") {
  check([](float x) { return mnemo::elementary::exp(x); }, [](double x) { return std::exp(x); });
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(mnemo::elementary::exp(infinity) == infinity);
  CHECK(mnemo::elementary::exp(-infinity) == 0);
  CHECK(mnemo::elementary::exp(0.0F) == 1);
  CHECK(mnemo::elementary::exp(-103.2789F) == std::numeric_limits<float>::denorm_min());  // log(2^-149) = -103.2789...
}

TEST_CASE("elementary: tanh of floats is that of doubles, rounded") {
  check([](float x) { return mnemo::elementary::tanh(x); }, [](double x) { return std::tanh(x); });
  CHECK(mnemo::elementary::tanh(100.0F) == 1);
  CHECK(std::signbit(mnemo::elementary::tanh(-0.0F)));
}

TEST_CASE("elementary: erf of floats is that of doubles, rounded") {
  check([](float x) { return mnemo::elementary::erf(x); }, [](double x) { return std::erf(x); });
  CHECK(mnemo::elementary::erf(-100.0F) == -1);
  CHECK(std::signbit(mnemo::elementary::erf(-0.0F)));
}

TEST_CASE("elementary: functions of doubles are the standard library's") {
  CHECK(mnemo::elementary::exp(0.7) == std::exp(0.7));
  CHECK(mnemo::elementary::tanh(0.7) == std::tanh(0.7));
  CHECK(mnemo::elementary::erf(0.7) == std::erf(0.7));
}
