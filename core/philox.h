// Philox 4x32-10: random numbers by counting. Number n depends on (key, n) alone, so every device and any number
// of threads gives the same ones. (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011.)
#pragma once

#include <cmath>
#include <cstdint>

#include <mnemo/core/host_device.h>

namespace mnemo {

/// Four 32-bit words of the stream of one seed.
struct Philox4 {
  std::uint32_t words[4];
};

/// Ten rounds over a 128-bit counter under a 64-bit key.
MNEMO_HOST_DEVICE inline Philox4 philox(Philox4 counter, std::uint32_t key0, std::uint32_t key1) {
  std::uint32_t* c = counter.words;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c[2];
    const std::uint32_t next[4] = {
        static_cast<std::uint32_t>(product1 >> 32) ^ c[1] ^ key0, static_cast<std::uint32_t>(product1),
        static_cast<std::uint32_t>(product0 >> 32) ^ c[3] ^ key1, static_cast<std::uint32_t>(product0)};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// Words 4 * block to 4 * block + 3 of the stream of `seed`.
MNEMO_HOST_DEVICE inline Philox4 philox_block(std::uint64_t seed, std::uint64_t block) {
  return philox({{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0}},
                static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
}

/// 0 <= u < 1 in steps of 2^-24, exact in float.
MNEMO_HOST_DEVICE inline float uniform_from(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

/// a + b * c, rounded once: the same on every device, whatever its compiler would make of a sum and a product.
MNEMO_HOST_DEVICE inline double add_product(double a, double b, double c) { return std::fma(b, c, a); }

/// Two independent standard normal numbers from two words (Box and Muller).
MNEMO_HOST_DEVICE inline void normal_from(std::uint32_t word0, std::uint32_t word1, double& first, double& second) {
  const double u = (static_cast<double>(word0) + 0.5) * 0x1p-32;  // never 0
  const double angle = 6.283185307179586477 * (static_cast<double>(word1) * 0x1p-32);
  const double radius = std::sqrt(-2.0 * std::log(u));
  first = radius * std::cos(angle);
  second = radius * std::sin(angle);
}

}  // namespace mnemo
