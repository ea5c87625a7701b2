// What tests against PyTorch's values share: the inputs of both sides (tests/torch_fixtures.py), and the comparison.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include <mnemo/autograd/tensor.h>

/// The rule by which both sides make inputs and parameters: float64, on the CPU.
inline mnemo::Tensor torch_numbers(std::int64_t seed, const mnemo::Shape& shape, bool requires_grad = false) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<double>((static_cast<std::int64_t>(i) * 37 + seed * 11) % 101) / 50.0 - 1.0;
  return mnemo::tensor<double>(values, shape, "cpu", requires_grad);
}

/// Equal up to another order of float64 sums.
inline void check_as_torch(const std::vector<double>& values, const std::vector<double>& expected) {
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(std::abs(values[i] - expected[i]) <= 1e-10 * std::abs(expected[i]) + 1e-14);
}
