// What the tests of the CPU backend share: seeded numbers as arrays of any dtype, and comparisons with float64
// references.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <mnemo/core/array.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/threads.h>

namespace numbers {

using mnemo::Array;
using mnemo::DType;
using mnemo::Shape;

inline constexpr DType kFloating[] = {DType::float64, DType::float32, DType::float16, DType::bfloat16};

class Generator {
 public:
  explicit Generator(unsigned seed) : engine_(seed) {}
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  double uniform(double low = -1, double high = 1) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }
  template <class T, std::size_t N>
  T one_of(const T (&values)[N]) {
    return values[static_cast<std::size_t>(integer(0, static_cast<std::int64_t>(N) - 1))];
  }
  Array array(const Shape& shape, DType dtype, double low = -1, double high = 1) {
    std::vector<double> values(static_cast<std::size_t>(shape.numel()));
    for (double& value : values) value = uniform(low, high);
    return Array::from<double>(values, shape, "cpu").to(dtype);
  }

 private:
  std::mt19937 engine_;
};

/// An array whose every byte is 0xff (NaN in floating types): what a backend does not write is found.
inline Array unwritten(const Shape& shape, DType dtype) {
  Array array(shape, dtype, "cpu");
  if (array.bytes() > 0) std::memset(array.storage()->data(), 0xff, static_cast<std::size_t>(array.bytes()));
  return array;
}

inline bool same_bits(const Array& a, const Array& b) {
  return a.bytes() == b.bytes() && (a.bytes() == 0 || std::memcmp(a.storage()->data(), b.storage()->data(),
                                                                  static_cast<std::size_t>(a.bytes())) == 0);
}

/// Half a unit in the last place of 1.
inline double rounding(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return 0x1p-53;
    case DType::float32:
      return 0x1p-24;
    case DType::float16:
      return 0x1p-11;
    default:
      return 0x1p-8;
  }
}

/// The distance of neighbouring numbers around 0.
inline double smallest_step(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return std::numeric_limits<double>::denorm_min();
    case DType::float32:
      return 0x1p-149;
    case DType::float16:
      return 0x1p-24;
    default:
      return 0x1p-133;
  }
}

/// The largest violation of |value - expected| <= roundings * rounding(dtype) * |expected| + slack * rounding(computed
/// in) * magnitude: at most 1 is good. `magnitude` is what was added up in the type that is computed in (float for
/// halves); 2 roundings where what is expected was rounded too.
inline double error_of(const Array& array, const std::vector<double>& expected, const std::vector<double>& magnitude,
                       double slack = 8, double roundings = 1.01) {
  const auto values = array.values<double>();
  if (values.size() != expected.size()) return std::numeric_limits<double>::infinity();
  const double compute = array.dtype() == DType::float64 ? 0x1p-53 : 0x1p-24;
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(values[i])) continue;
    if (values[i] == expected[i]) continue;
    // Below the normal range all steps are equal; two roundings make one step.
    const double tiny = smallest_step(array.dtype());
    const double allowed =
        roundings * rounding(array.dtype()) * std::abs(expected[i]) + tiny + slack * compute * std::abs(magnitude[i]);
    const double error = std::abs(values[i] - expected[i]) / allowed;
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

/// Restores the number of threads.
class Threads {
 public:
  explicit Threads(int count) : before_(mnemo::thread_count()) { mnemo::set_thread_count(count); }
  ~Threads() { mnemo::set_thread_count(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace numbers
