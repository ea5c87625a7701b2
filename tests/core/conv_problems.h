// Convolutions to try: random ones of every kind, and some that are large enough for several tiles in each direction.
#pragma once

#include <string>
#include <vector>

#include "core/numbers.h"

namespace numbers {

using namespace mnemo;

inline Shape x_shape(const ConvProblem& p) { return {p.batch, p.in_channels, p.in[0], p.in[1], p.in[2]}; }
inline Shape w_shape(const ConvProblem& p) {
  return {p.out_channels, p.in_channels / p.groups, p.kernel[0], p.kernel[1], p.kernel[2]};
}
inline Shape y_shape(const ConvProblem& p) { return {p.batch, p.out_channels, p.out[0], p.out[1], p.out[2]}; }

inline ConvProblem random_problem(Generator& random) {
  ConvProblem p;
  p.spatial_rank = static_cast<int>(random.integer(1, 3));
  p.batch = random.integer(0, 9) == 0 ? 0 : random.integer(1, 3);
  p.groups = random.integer(0, 2) == 0 ? random.integer(2, 3) : 1;
  p.in_channels = p.groups * (random.integer(0, 19) == 0 ? 0 : random.integer(1, 4));
  p.out_channels = p.groups * (random.integer(0, 3) == 0 ? random.integer(5, 19) : random.integer(1, 4));
  p.dtype = random.one_of(kFloating);
  for (std::size_t d = 3 - static_cast<std::size_t>(p.spatial_rank); d < 3; ++d) {
    p.in[d] = random.integer(0, 29) == 0 ? 0 : random.integer(1, p.spatial_rank == 1 ? 40 : 9);
    p.kernel[d] = random.integer(1, 4);
    p.stride[d] = random.integer(0, 1) == 0 ? 1 : random.integer(2, 4);
    p.padding[d] = random.integer(0, 1) == 0 ? 0 : random.integer(1, 4);
    p.dilation[d] = random.integer(0, 1) == 0 ? 1 : random.integer(2, 4);
    const std::int64_t room = p.in[d] + 2 * p.padding[d] - p.dilation[d] * (p.kernel[d] - 1) - 1;
    p.out[d] = room < 0 ? 0 : room / p.stride[d] + 1;
    // High padding may differ from the low one.
    if (random.integer(0, 3) == 0) p.out[d] = std::max<std::int64_t>(0, p.out[d] + random.integer(-1, 2));
  }
  return p;
}

inline std::string text(const ConvProblem& p) {
  std::string result = "batch " + std::to_string(p.batch) + " channels " + std::to_string(p.in_channels) + "->" +
                       std::to_string(p.out_channels) + " groups " + std::to_string(p.groups) + " " + name(p.dtype);
  auto add = [&](const char* what, const Size3& s) {
    result +=
        std::string(" ") + what + " " + std::to_string(s[0]) + "," + std::to_string(s[1]) + "," + std::to_string(s[2]);
  };
  add("in", p.in), add("kernel", p.kernel), add("out", p.out), add("stride", p.stride), add("padding", p.padding);
  add("dilation", p.dilation);
  return result;
}

/// Problems that fill several tiles in every direction.
inline std::vector<ConvProblem> large_problems() {
  return {
      {.batch = 2,
       .in_channels = 30,
       .out_channels = 140,
       .in = {1, 21, 22},
       .kernel = {1, 3, 3},
       .out = {1, 21, 22},
       .padding = {0, 1, 1}},
      {.batch = 3,
       .in_channels = 70,
       .out_channels = 24,
       .groups = 2,
       .in = {1, 33, 31},
       .kernel = {1, 3, 3},
       .out = {1, 17, 16},
       .stride = {1, 2, 2},
       .padding = {0, 1, 1}},
      {.batch = 2,
       .in_channels = 8,
       .out_channels = 9,
       .in = {12, 11, 13},
       .kernel = {3, 3, 3},
       .out = {12, 11, 13},
       .padding = {1, 1, 1},
       .spatial_rank = 3},
      {.batch = 2,
       .in_channels = 16,
       .out_channels = 17,
       .in = {1, 1, 1500},
       .kernel = {1, 1, 9},
       .out = {1, 1, 1492},
       .spatial_rank = 1},
      {.batch = 4, .in_channels = 66, .out_channels = 50, .in = {1, 20, 20}, .out = {1, 20, 20}},
      {.batch = 2,
       .in_channels = 40,
       .out_channels = 40,
       .groups = 40,
       .in = {1, 40, 41},
       .kernel = {1, 3, 3},
       .out = {1, 40, 41},
       .padding = {0, 1, 1}},
  };
}

}  // namespace numbers
