#include <mnemo/core/dynamic_map.h>

#include <algorithm>
#include <cmath>

namespace mnemo {

namespace {

DynamicMap make_map(bool with_sign) {
  DynamicMap map{};
  std::size_t size = 0;
  for (int exponent = 0; exponent < 7; ++exponent) {
    const int parts = with_sign ? 1 << exponent : 2 << exponent;
    const double power = std::pow(10.0, exponent - 6);
    for (int part = 0; part < parts; ++part) {
      const double middle = 0.1 + 0.9 * (part + 0.5) / parts;
      map[size++] = static_cast<float>(power * middle);
      if (with_sign) map[size++] = static_cast<float>(-power * middle);
    }
  }
  map[size++] = 0;
  map[size++] = 1;
  std::sort(map.begin(), map.end());
  return map;
}

}  // namespace

const DynamicMap& signed_map() {
  static const DynamicMap map = make_map(true);
  return map;
}

const DynamicMap& unsigned_map() {
  static const DynamicMap map = make_map(false);
  return map;
}

}  // namespace mnemo
