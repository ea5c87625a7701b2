#include <mnemo/core/planning/query_list.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <limits>

#include <fmt/format.h>

namespace mnemo {

namespace {

// A query as numbers, in the order of lists. The most fickle come last: bit i of a mask is field kFields - 1 - i.
constexpr std::size_t kFields = 26;
using Fields = std::array<std::uint64_t, kFields>;
constexpr std::size_t kPadding = 9, kOut = 19, kDType = 23;  // where these begin

struct Range {
  std::uint64_t least, most;
};

constexpr Range range_of(std::size_t field) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
  switch (field) {
    case 2:  // groups
      return {1, kMost};
    case 6:  // strides
    case 7:
    case 8:
    case 12:  // dilations
    case 13:
    case 14:
      return {1, kMost};
    case kPadding:  // a part of a split convolution may begin before its input: either sign
    case kPadding + 1:
    case kPadding + 2:
    case kOut:  // less what follows from the other sizes
    case kOut + 1:
    case kOut + 2:
      return {0, kAny};
    case 15:
      return {1, 3};  // spatial rank
    case kDType:
      return {0, std::size(kDTypes) - 1};
    case kDType + 1:
      return {0, static_cast<std::uint64_t>(ConvLayout::channels_last)};
    case kDType + 2:
      return {0, static_cast<std::uint64_t>(ConvPass::weight_gradient)};
    default:
      return {0, kMost};
  }
}

constexpr auto kRanges = [] {
  std::array<Range, kFields> ranges{};
  for (std::size_t i = 0; i < kFields; ++i) ranges[i] = range_of(i);
  return ranges;
}();

std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }

/// What `out` is if the padding behind the last element equals that before the first. Modulo 2^64: hostile sizes too.
std::uint64_t expected_out(const ConvProblem& problem, std::size_t axis) {
  const std::uint64_t reach = bits(problem.dilation[axis]) * (bits(problem.kernel[axis]) - 1) + 1;
  const std::uint64_t padded = bits(problem.in[axis]) + 2 * bits(problem.padding[axis]);
  return padded < reach || problem.stride[axis] < 1 ? 0 : (padded - reach) / bits(problem.stride[axis]) + 1;
}

Fields fields_of(const ConvQuery& query) {
  const ConvProblem& problem = query.problem;
  Fields fields{};
  std::size_t next = 0;
  auto put = [&](std::uint64_t value) { fields[next++] = value; };
  auto put_size = [&](const Size3& sizes) {
    for (const std::int64_t size : sizes) put(bits(size));
  };
  put(bits(problem.out_channels));
  put(bits(problem.in_channels));
  put(bits(problem.groups));
  put_size(problem.kernel);
  put_size(problem.stride);
  for (const std::int64_t padding : problem.padding) put(zigzag(padding));
  put_size(problem.dilation);
  put(bits(problem.spatial_rank));
  put_size(problem.in);
  for (std::size_t i = 0; i < 3; ++i)
    put(zigzag(static_cast<std::int64_t>(bits(problem.out[i]) - expected_out(problem, i))));
  put(bits(problem.batch));
  put(static_cast<std::uint64_t>(problem.dtype));
  put(static_cast<std::uint64_t>(query.layout));
  put(static_cast<std::uint64_t>(query.pass));
  assert(next == kFields);
  return fields;
}

/// REQUIRES: each field within its range.
ConvQuery query_of(const Fields& fields) {
  ConvQuery query;
  ConvProblem& problem = query.problem;
  std::size_t next = 0;
  auto take = [&] { return static_cast<std::int64_t>(fields[next++]); };
  auto take_size = [&](Size3& sizes) {
    for (std::int64_t& size : sizes) size = take();
  };
  problem.out_channels = take();
  problem.in_channels = take();
  problem.groups = take();
  take_size(problem.kernel);
  take_size(problem.stride);
  for (std::int64_t& padding : problem.padding) padding = unzigzag(fields[next++]);
  take_size(problem.dilation);
  problem.spatial_rank = static_cast<int>(take());
  take_size(problem.in);
  for (std::size_t i = 0; i < 3; ++i)
    problem.out[i] = static_cast<std::int64_t>(expected_out(problem, i) + bits(unzigzag(fields[next++])));
  problem.batch = take();
  problem.dtype = static_cast<DType>(take());
  query.layout = static_cast<ConvLayout>(take());
  query.pass = static_cast<ConvPass>(take());
  return query;
}

}  // namespace

void sort_queries(std::vector<ConvQuery>& queries) {
  std::vector<Fields> sorted;
  sorted.reserve(queries.size());
  for (const ConvQuery& query : queries) sorted.push_back(fields_of(query));
  std::ranges::sort(sorted);
  const auto repeated = std::unique(sorted.begin(), sorted.end());  // std::ranges: too new for clang 14
  sorted.erase(repeated, sorted.end());
  queries.resize(sorted.size());
  std::ranges::transform(sorted, queries.begin(), query_of);
}

void write_queries(std::span<const ConvQuery> queries, PackedWriter& writer) {
  writer.number(queries.size());
  Fields before{};
  for (const ConvQuery& query : queries) {
    const Fields fields = fields_of(query);
    std::uint64_t mask = 0;
    for (std::size_t i = 0; i < kFields; ++i) mask |= std::uint64_t{fields[i] != before[i]} << (kFields - 1 - i);
    writer.number(mask);
    for (std::size_t i = 0; i < kFields; ++i) {
      if (fields[i] != before[i]) writer.number(fields[i]);
    }
    before = fields;
  }
}

std::vector<ConvQuery> read_queries(PackedReader& reader) {
  const std::size_t count = reader.count(2);  // a mask and a number
  std::vector<ConvQuery> queries;
  queries.reserve(count);
  Fields before{}, fields{};
  while (queries.size() < count) {
    std::uint64_t mask = reader.number((std::uint64_t{1} << kFields) - 1, "the mask of a query");
    for (; mask != 0; mask -= std::bit_floor(mask)) fields[kFields - std::bit_width(mask)] = reader.number();
    for (std::size_t i = 0; i < kFields; ++i) {
      if (fields[i] < kRanges[i].least || fields[i] > kRanges[i].most)
        reader.refuse(fmt::format("number {} of query {} is {}", i, queries.size(), fields[i]));
    }
    if (!(before < fields)) reader.refuse(fmt::format("query {} does not follow the one before it", queries.size()));
    queries.push_back(query_of(fields));
    for (const std::int64_t size : queries.back().problem.out) {
      if (size < 0) reader.refuse(fmt::format("query {} has an output of size {}", queries.size() - 1, size));
    }
    before = fields;
  }
  return queries;
}

}  // namespace mnemo
