#include <mnemo/core/cpu/unfold.h>

#include <numeric>

namespace mnemo::cpu {

Unfolding unfold_input(const ConvProblem& problem) {
  Unfolding result;
  result.channels = problem.in_channels / problem.groups;
  for (std::size_t d = 0; d < 3; ++d) {
    result.axes[d] = {.source = problem.in[d], .places = problem.out[d], .step = problem.stride[d], .taps = problem.kernel[d],
                      .first_offset = -problem.padding[d], .offset_step = problem.dilation[d]};
  }
  return result;
}

Unfolding unfold_gradient(const ConvProblem& problem, const Size3& phase) {
  Unfolding result;
  result.channels = problem.out_channels / problem.groups;
  for (std::size_t d = 0; d < 3; ++d) {
    const std::int64_t stride = problem.stride[d], dilation = problem.dilation[d];
    // Input element phase + q * stride meets tap t at output (phase + padding - t * dilation) / stride + q, if that is whole:
    // true for every tap_step-th tap.
    const std::int64_t divisor = std::gcd(stride, dilation);
    const std::int64_t tap_step = stride / divisor;
    const std::int64_t candidates = std::min(tap_step, problem.kernel[d]);
    std::int64_t first = 0;
    while (first < candidates && (phase[d] + problem.padding[d] - first * dilation) % stride != 0) ++first;
    UnfoldAxis& axis = result.axes[d];
    axis.source = problem.out[d];
    axis.places = phase[d] < problem.in[d] ? (problem.in[d] - phase[d] - 1) / stride + 1 : 0;
    axis.taps = first < candidates ? (problem.kernel[d] - first - 1) / tap_step + 1 : 0;
    axis.first_tap = first;
    axis.tap_step = tap_step;
    axis.first_offset = (phase[d] + problem.padding[d] - first * dilation) / stride;
    axis.offset_step = -(dilation / divisor);
  }
  return result;
}

template <class E, class T>
void unfold_row(const Unfolding& unfolding, const E* source, std::int64_t row, std::int64_t begin, std::int64_t count, T* to) {
  const auto& [depth, height, width] = unfolding.axes;
  const std::int64_t tap = row % unfolding.taps();
  source += row / unfolding.taps() * unfolding.channel_size();
  const std::int64_t offset0 = depth.first_offset + tap / (height.taps * width.taps) * depth.offset_step;
  const std::int64_t offset1 = height.first_offset + tap / width.taps % height.taps * height.offset_step;
  const std::int64_t offset2 = width.first_offset + tap % width.taps * width.offset_step;
  // Places of a line that read inside the source: 0 <= q * step + offset2 < width.source.
  const std::int64_t inside_begin = offset2 >= 0 ? 0 : (-offset2 + width.step - 1) / width.step;
  const std::int64_t inside_end = width.source > offset2 ? (width.source - offset2 - 1) / width.step + 1 : 0;

  std::int64_t q2 = begin % width.places;
  std::int64_t q1 = begin / width.places % height.places;
  std::int64_t q0 = begin / width.places / height.places;
  while (count > 0) {
    const std::int64_t end = std::min(width.places, q2 + count);
    const std::int64_t s0 = q0 * depth.step + offset0, s1 = q1 * height.step + offset1;
    const bool inside = s0 >= 0 && s0 < depth.source && s1 >= 0 && s1 < height.source;
    const std::int64_t from = inside ? std::clamp(inside_begin, q2, end) : end;
    const std::int64_t until = inside ? std::clamp(inside_end, from, end) : end;
    T* line = to - q2;
    for (std::int64_t q = q2; q < from; ++q) line[q] = T{};
    if (from < until) {
      const E* values = source + (s0 * height.source + s1) * width.source + offset2;
      if (width.step == 1) {
        for (std::int64_t q = from; q < until; ++q) line[q] = cast<T>(values[q]);
      } else {
        for (std::int64_t q = from; q < until; ++q) line[q] = cast<T>(values[q * width.step]);
      }
    }
    for (std::int64_t q = until; q < end; ++q) line[q] = T{};
    to += end - q2;
    count -= end - q2;
    q2 = 0;
    if (++q1 == height.places) {
      q1 = 0;
      ++q0;
    }
  }
}

template <class T, class E>
void UnfoldedOperand<T, E>::pack(std::int64_t line, std::int64_t lines, std::int64_t k, std::int64_t depth, int width,
                                 T* to) const {
  if (transposed_) {  // a line is a row of the matrix
    T rows[kMicroColumns<T> * kTileDepth];
    for (; lines > 0; lines -= width, line += width, to += width * depth) {
      const std::int64_t count = std::min<std::int64_t>(lines, width);
      for (std::int64_t i = 0; i < count; ++i) unfold_row(unfolding_, source_, line + i, k, depth, rows + i * kTileDepth);
      transpose_panel(rows, kTileDepth, count, depth, width, to);
    }
    return;
  }
  T row[kTileColumns<T>];
  const std::int64_t padded = (lines + width - 1) / width * width;
  for (std::int64_t d = 0; d < depth; ++d) {
    unfold_row(unfolding_, source_, k + d, line, lines, row);
    std::fill(row + lines, row + padded, T{0});
    for (std::int64_t i = 0; i < padded; i += width) std::copy_n(row + i, width, to + i * depth + d * width);
  }
}

#define MNEMO_UNFOLD(T, E)                                                                                      \
  template void unfold_row<E, E>(const Unfolding&, const E*, std::int64_t, std::int64_t, std::int64_t, E*); \
  template class UnfoldedOperand<T, E>;
MNEMO_UNFOLD(double, double)
MNEMO_UNFOLD(float, float)
MNEMO_UNFOLD(float, float16)
MNEMO_UNFOLD(float, bfloat16)
#undef MNEMO_UNFOLD

}  // namespace mnemo::cpu
