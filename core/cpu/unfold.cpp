#include <mnemo/core/cpu/unfold.h>

#include <cassert>
#include <cstring>
#include <numeric>

namespace mnemo::cpu {

Unfolding unfold_input(const ConvProblem& problem) {
  Unfolding result;
  result.channels = problem.in_channels / problem.groups;
  for (std::size_t d = 0; d < 3; ++d) {
    result.axes[d] = {.source = problem.in[d],
                      .places = problem.out[d],
                      .step = problem.stride[d],
                      .taps = problem.kernel[d],
                      .first_offset = -problem.padding[d],
                      .offset_step = problem.dilation[d]};
  }
  return result;
}

Unfolding unfold_gradient(const ConvProblem& problem, const Size3& phase) {
  Unfolding result;
  result.channels = problem.out_channels / problem.groups;
  for (std::size_t d = 0; d < 3; ++d) {
    const std::int64_t stride = problem.stride[d], dilation = problem.dilation[d];
    // Input element phase + q * stride meets tap t at output (phase + padding - t * dilation) / stride + q, if that is
    // whole: true for every tap_step-th tap.
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

Unfolding::Row Unfolding::row(std::int64_t index) const {
  Row row;
  row.t2 = index % axes[2].taps;
  index /= axes[2].taps;
  row.t1 = index % axes[1].taps;
  index /= axes[1].taps;
  row.t0 = index % axes[0].taps;
  row.channel = index / axes[0].taps;
  return row;
}

Unfolding::Row Unfolding::after(Row row) const {
  if (++row.t2 < axes[2].taps) return row;
  row.t2 = 0;
  if (++row.t1 < axes[1].taps) return row;
  row.t1 = 0;
  if (++row.t0 < axes[0].taps) return row;
  row.t0 = 0;
  ++row.channel;
  return row;
}

Unfolding::Column Unfolding::column(std::int64_t index) const {
  const std::int64_t line = index / axes[2].places;
  return {line / axes[1].places, line % axes[1].places, index % axes[2].places};
}

namespace {

// Lines are short (14 elements are common), so that a call or a loop's beginning and end would cost more than the
// copying.
template <class T>
void zero(std::int64_t count, T* to) {
  if (count == 0) return;
  to[0] = T{};
  if (count == 1) return;
  to[1] = T{};
  if (count > 2) std::fill_n(to + 2, count - 2, T{});
}

/// Whole blocks, the last of which overlaps the one before.
template <int Block, class T>
void copy_blocks(const T* from, std::int64_t count, T* to) {
  for (std::int64_t i = 0; i < count - Block; i += Block) std::memcpy(to + i, from + i, Block * sizeof(T));
  std::memcpy(to + count - Block, from + count - Block, Block * sizeof(T));
}

template <class E, class T>
void copy_line(const E* from, std::int64_t step, std::int64_t count, T* to) {
  if constexpr (std::is_same_v<E, T>) {
    if (step == 1) {
      if (count >= 16) return copy_blocks<16>(from, count, to);
      if (count >= 8) return copy_blocks<8>(from, count, to);
      if (count >= 4) return copy_blocks<4>(from, count, to);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) to[i] = cast<T>(from[i * step]);
}

}  // namespace

template <class E, class T>
void unfold_row(const Unfolding& unfolding, const E* source, const Unfolding::Row& row, const Unfolding::Column& begin,
                std::int64_t count, T* to) {
  const auto& [depth, height, width] = unfolding.axes;
  const std::int64_t offset0 = depth.first_offset + row.t0 * depth.offset_step;
  const std::int64_t offset1 = height.first_offset + row.t1 * height.offset_step;
  const std::int64_t offset2 = width.first_offset + row.t2 * width.offset_step;
  const std::int64_t channel = row.channel * unfolding.channel_size() + offset2;
  // Places of a line that read inside the source: 0 <= q * step + offset2 < width.source.
  const std::int64_t step = width.step;
  const std::int64_t low = std::max<std::int64_t>(0, -offset2),
                     high = std::max<std::int64_t>(0, width.source - offset2);
  const std::int64_t inside_begin = step == 1 ? low : (low + step - 1) / step;
  const std::int64_t inside_end = step == 1 ? high : (high + step - 1) / step;

  auto [q0, q1, q2] = begin;
  while (count > 0) {
    const std::int64_t end = std::min(width.places, q2 + count);
    const std::int64_t s0 = q0 * depth.step + offset0, s1 = q1 * height.step + offset1;
    const bool inside = s0 >= 0 && s0 < depth.source && s1 >= 0 && s1 < height.source;
    const std::int64_t from = inside ? std::clamp(inside_begin, q2, end) : end;
    const std::int64_t until = inside ? std::clamp(inside_end, from, end) : end;
    zero(from - q2, to);
    if (from < until) {
      const E* line = source + (channel + (s0 * height.source + s1) * width.source + from * step);
      copy_line(line, step, until - from, to + (from - q2));
    }
    zero(end - until, to + (until - q2));
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
  Unfolding::Row row = unfolding_.row(transposed_ ? line : k);
  const Unfolding::Column column = unfolding_.column(transposed_ ? k : line);
  assert(width == kMicroColumns<T>);
  if (transposed_) {  // a line is a row of the matrix
    T rows[kMicroColumns<T> * kTileDepth];
    for (; lines > 0; lines -= width, to += width * depth) {
      const std::int64_t count = std::min<std::int64_t>(lines, width);
      for (std::int64_t i = 0; i < count; ++i, row = unfolding_.after(row)) {
        unfold_row(unfolding_, source_, row, column, depth, rows + i * kTileDepth);
      }
      transpose_panel(rows, kTileDepth, count, depth, width, to);
    }
    return;
  }
  T columns[kTileColumns<T>];
  const std::int64_t padded = (lines + width - 1) / width * width;
  for (std::int64_t d = 0; d < depth; ++d, row = unfolding_.after(row)) {
    unfold_row(unfolding_, source_, row, column, lines, columns);
    std::fill(columns + lines, columns + padded, T{0});
    for (std::int64_t i = 0; i < padded; i += kMicroColumns<T>) {
      std::memcpy(to + i * depth + d * kMicroColumns<T>, columns + i, kMicroColumns<T> * sizeof(T));
    }
  }
}

#define MNEMO_UNFOLD(T, E)                                                                                    \
  template void unfold_row<E, E>(const Unfolding&, const E*, const Unfolding::Row&, const Unfolding::Column&, \
                                 std::int64_t, E*);                                                           \
  template class UnfoldedOperand<T, E>;
MNEMO_UNFOLD(double, double)
MNEMO_UNFOLD(float, float)
MNEMO_UNFOLD(float, float16)
MNEMO_UNFOLD(float, bfloat16)
#undef MNEMO_UNFOLD

}  // namespace mnemo::cpu
