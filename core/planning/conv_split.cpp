#include <mnemo/core/planning/conv_split.h>

#include <algorithm>
#include <limits>

namespace mnemo {

namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

/// a * b, at most 2^62.
std::int64_t capped(std::int64_t a, std::int64_t b) {
  constexpr std::int64_t kCap = std::int64_t{1} << 62;
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kCap : std::min(product, kCap);
}

std::int64_t image(std::int64_t channels, const Size3& sizes) {
  return capped(capped(channels, sizes[0]), capped(sizes[1], sizes[2]));
}

std::size_t depth_axis(const ConvProblem& problem) { return static_cast<std::size_t>(3 - problem.spatial_rank); }

bool fits(const ConvProblem& problem) {
  return capped(problem.batch, image(problem.in_channels, problem.in)) <= kMost &&
         capped(problem.batch, image(problem.out_channels, problem.out)) <= kMost;
}

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

bool pieces_fit(const ConvProblem& problem, ConvPass pass, std::int64_t step) {
  const std::size_t axis = depth_axis(problem);
  const std::int64_t size = pass == ConvPass::data_gradient ? problem.in[axis] : problem.out[axis];
  for (std::int64_t begin = 0; begin < size; begin = next_piece(problem, pass, begin, step)) {
    if (!fits(depth_piece(problem, pass, begin, step).problem)) return false;
  }
  return true;
}

}  // namespace

std::int64_t next_piece(const ConvProblem& problem, ConvPass pass, std::int64_t begin, std::int64_t step) {
  const std::size_t axis = depth_axis(problem);
  if (pass != ConvPass::data_gradient || begin > 0) return begin + step;
  const std::int64_t first = step - problem.padding[axis] % problem.stride[axis];
  return first > 0 ? first : first + step;
}

ConvPiece depth_piece(const ConvProblem& problem, ConvPass pass, std::int64_t begin, std::int64_t step) {
  const std::size_t axis = depth_axis(problem);
  const std::int64_t stride = problem.stride[axis], padding = problem.padding[axis];
  const std::int64_t reach = problem.dilation[axis] * (problem.kernel[axis] - 1) + 1;
  const std::int64_t in = problem.in[axis], out = problem.out[axis];
  ConvPiece piece;
  if (pass == ConvPass::data_gradient) {
    piece.in_begin = begin;
    piece.in_end = std::min(next_piece(problem, pass, begin, step), in);
    // The outputs whose windows touch the range.
    piece.out_begin = std::max<std::int64_t>(0, ceil_divide(begin + padding - (reach - 1), stride));
    if (begin + padding < reach - 1) piece.out_begin = 0;
    piece.out_end = std::max(piece.out_begin, std::min(out, (piece.in_end - 1 + padding) / stride + 1));
  } else {
    piece.out_begin = begin;
    piece.out_end = std::min(begin + step, out);
    piece.in_begin = std::clamp<std::int64_t>(begin * stride - padding, 0, in);
    piece.in_end = std::clamp<std::int64_t>((piece.out_end - 1) * stride - padding + reach, piece.in_begin, in);
  }
  piece.problem = problem;
  piece.problem.in[axis] = piece.in_end - piece.in_begin;
  piece.problem.out[axis] = piece.out_end - piece.out_begin;
  piece.problem.padding[axis] = padding + piece.in_begin - piece.out_begin * stride;
  return piece;
}

ConvPlan conv_split(const ConvProblem& problem, ConvPass pass) {
  ConvPlan plan{.algorithm = ConvAlgorithm::split};
  const std::int64_t weight = capped(problem.out_channels, image(problem.in_channels / problem.groups, problem.kernel));
  if (weight > kMost) return plan;
  if (problem.batch > 1) {
    const std::int64_t largest =
        std::max(image(problem.in_channels, problem.in), image(problem.out_channels, problem.out));
    const std::int64_t most = std::clamp<std::int64_t>(kMost / largest, 1, problem.batch);
    plan.step = ceil_divide(problem.batch, ceil_divide(problem.batch, most));
    // A single image that does not fit is cut in its turn, if that helps.
    ConvProblem one = problem;
    one.batch = 1;
    if (!fits(one) && conv_split(one, pass).step == 0) plan.step = 0;
    return plan;
  }
  plan.axis = ConvPlan::Axis::depth;
  const std::size_t axis = depth_axis(problem);
  const std::int64_t size = pass == ConvPass::data_gradient ? problem.in[axis] : problem.out[axis];
  const std::int64_t grain = pass == ConvPass::data_gradient ? problem.stride[axis] : 1;
  for (std::int64_t pieces = 2, last = 0;; ++pieces) {
    const std::int64_t step = ceil_divide(ceil_divide(size, pieces), grain) * grain;
    if (step != last && pieces_fit(problem, pass, step)) {
      plan.step = step;
      return plan;
    }
    if (step <= grain) return plan;
    last = step;
  }
}

ConvPlan pytorch_split(const ConvProblem& problem) {
  constexpr std::int64_t kPart = std::int64_t{1} << 29;
  ConvPlan plan{.algorithm = ConvAlgorithm::split};
  const std::int64_t largest =
      std::max(image(problem.in_channels, problem.in), image(problem.out_channels, problem.out));
  if (problem.batch > 1 && largest <= kMost) plan.step = std::max<std::int64_t>(kPart / largest, 1);
  return plan;
}

}  // namespace mnemo
