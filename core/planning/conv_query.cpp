#include <mnemo/core/planning/conv_query.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mnemo {

namespace {

/// (first, second, sizes...) with as many sizes as the caller knows.
std::vector<std::int64_t> outer(std::int64_t first, std::int64_t second, const Size3& sizes, int rank) {
  std::vector<std::int64_t> dims{first, second};
  dims.insert(dims.end(), sizes.end() - rank, sizes.end());
  return dims;
}

/// The number of elements, at most 2^31: what lies above is all the same here.
std::int64_t capped_count(const std::vector<std::int64_t>& dims) {
  constexpr std::int64_t kCap = std::int64_t{1} << 31;
  std::int64_t count = 1;
  for (const std::int64_t size : dims) {
    if (size == 0) return 0;
    count = size >= kCap ? kCap : std::min(kCap, count * size);
  }
  return count;
}

}  // namespace

std::size_t hash(const ConvQuery& query) {
  std::uint64_t state = 0x9E3779B97F4A7C15;
  auto mix = [&state](std::int64_t value) {
    state ^= static_cast<std::uint64_t>(value);
    state *= 0xBF58476D1CE4E5B9;
    state ^= state >> 29;
  };
  const ConvProblem& problem = query.problem;
  for (const std::int64_t value : {problem.batch, problem.in_channels, problem.out_channels, problem.groups})
    mix(value);
  for (const Size3* sizes :
       {&problem.in, &problem.kernel, &problem.out, &problem.stride, &problem.padding, &problem.dilation}) {
    for (const std::int64_t value : *sizes) mix(value);
  }
  mix(static_cast<std::int64_t>(problem.dtype) << 24 | std::int64_t{problem.spatial_rank} << 16 |
      static_cast<std::int64_t>(query.pass) << 8 | static_cast<std::int64_t>(query.layout));
  return state;
}

std::vector<std::int64_t> input_sizes(const ConvProblem& problem) {
  return outer(problem.batch, problem.in_channels, problem.in, problem.spatial_rank);
}
std::vector<std::int64_t> weight_sizes(const ConvProblem& problem) {
  return outer(problem.out_channels, problem.in_channels / problem.groups, problem.kernel, problem.spatial_rank);
}
std::vector<std::int64_t> output_sizes(const ConvProblem& problem) {
  return outer(problem.batch, problem.out_channels, problem.out, problem.spatial_rank);
}

std::string describe(const ConvQuery& query) {
  const ConvProblem& problem = query.problem;
  return fmt::format("{} conv{}d {} {} ({}) * ({})", name(query.pass), problem.spatial_rank, name(problem.dtype),
                     name(query.layout), fmt::join(input_sizes(problem), ", "), fmt::join(weight_sizes(problem), ", "));
}

bool is_empty(const ConvProblem& problem) {
  return capped_count(input_sizes(problem)) == 0 || capped_count(weight_sizes(problem)) == 0 ||
         capped_count(output_sizes(problem)) == 0;
}

std::string size_obstacle(const ConvProblem& problem) {
  const std::pair<const char*, std::vector<std::int64_t>> operands[] = {
      {"input", input_sizes(problem)}, {"weight", weight_sizes(problem)}, {"output", output_sizes(problem)}};
  for (const auto& [what, sizes] : operands) {
    if (capped_count(sizes) > std::numeric_limits<std::int32_t>::max()) {
      return fmt::format("the {} ({}) has 2^31 elements or more", what, fmt::join(sizes, ", "));
    }
  }
  return "";
}

}  // namespace mnemo
