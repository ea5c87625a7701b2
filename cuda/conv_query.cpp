#include <mnemo/cuda/conv_query.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mnemo::cuda {

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

const char* name(ConvLayout layout) { return layout == ConvLayout::contiguous ? "contiguous" : "channels_last"; }

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

std::string describe(const ConvQuery& query) {
  const ConvProblem& problem = query.problem;
  const auto x = outer(problem.batch, problem.in_channels, problem.in, problem.spatial_rank);
  const auto w =
      outer(problem.out_channels, problem.in_channels / problem.groups, problem.kernel, problem.spatial_rank);
  return fmt::format("{} conv{}d {} {} ({}) * ({})", mnemo::name(query.pass), problem.spatial_rank,
                     mnemo::name(problem.dtype), name(query.layout), fmt::join(x, ", "), fmt::join(w, ", "));
}

std::string obstacle(const ConvQuery& query) {
  const ConvProblem& problem = query.problem;
  const int rank = problem.spatial_rank;
  const std::int64_t in_channels = problem.in_channels / problem.groups;
  const std::pair<const char*, std::vector<std::int64_t>> operands[] = {
      {"input", outer(problem.batch, problem.in_channels, problem.in, rank)},
      {"weight", outer(problem.out_channels, in_channels, problem.kernel, rank)},
      {"output", outer(problem.batch, problem.out_channels, problem.out, rank)}};
  for (const auto& [what, dims] : operands) {
    const std::int64_t count = capped_count(dims);
    if (count == 0) return fmt::format("the {} ({}) is empty", what, fmt::join(dims, ", "));
    if (count > std::numeric_limits<std::int32_t>::max()) {
      return fmt::format("the {} ({}) has 2^31 elements or more", what, fmt::join(dims, ", "));
    }
  }
  return "";
}

}  // namespace mnemo::cuda
