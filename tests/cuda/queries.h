// How the tests write convolutions, and the planner that they ask.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include <mnemo/cuda/conv_planner.h>

namespace queries {

using namespace mnemo;
using namespace mnemo::cuda;

/// The rankings of this version are what the tests know by heart.
inline const std::string kKnownVersion = "9.19.0";

/// A convolution of stride 1 with the same padding on every side; sizes and kernel have one number per dimension.
inline ConvProblem problem(DType dtype, std::int64_t batch, std::int64_t in_channels, std::int64_t out_channels,
                           const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& kernel,
                           std::int64_t padding = 0) {
  ConvProblem problem;
  problem.batch = batch;
  problem.in_channels = in_channels;
  problem.out_channels = out_channels;
  problem.dtype = dtype;
  problem.spatial_rank = static_cast<int>(sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t d = i + 3 - sizes.size();
    problem.in[d] = sizes[i];
    problem.kernel[d] = kernel[i];
    problem.padding[d] = padding;
    problem.out[d] = sizes[i] + 2 * padding - kernel[i] + 1;
  }
  return problem;
}

/// The same number in every dimension.
inline ConvProblem cube(DType dtype, int rank, std::int64_t batch, std::int64_t in_channels, std::int64_t out_channels,
                        std::int64_t size, std::int64_t kernel, std::int64_t padding = 0) {
  const auto count = static_cast<std::size_t>(rank);
  return problem(dtype, batch, in_channels, out_channels, std::vector(count, size), std::vector(count, kernel),
                 padding);
}

/// The planner of a card; null, and said aloud, where there is no cuDNN.
inline std::shared_ptr<ConvPlanner> planner_of(const std::string& card) {
  const CardProperties* properties = find_card_properties(card);
  REQUIRE(properties != nullptr);
  std::string reason;
  auto planner = open_conv_planner(*properties, reason);
  if (!planner) MESSAGE("SKIPPED: ", reason);
  return planner;
}

/// The same, null also for another version than the one whose rankings are known.
inline std::shared_ptr<ConvPlanner> known_planner_of(const std::string& card) {
  auto planner = planner_of(card);
  if (planner && planner->version() != kKnownVersion) {
    MESSAGE("SKIPPED: the known rankings are those of cuDNN ", kKnownVersion, ", and this is ", planner->version());
    return nullptr;
  }
  return planner;
}

}  // namespace queries
