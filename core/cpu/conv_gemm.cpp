#include <cassert>

#include <mnemo/core/cpu/conv.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/cpu/matmul.h>
#include <mnemo/core/cpu/unfold.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

constexpr std::int64_t kElementsPerThread = 1 << 14;  // what is worth handing to another thread when copying

std::int64_t copy_grain(std::int64_t elements) {
  return std::max<std::int64_t>(1, kElementsPerThread / std::max<std::int64_t>(1, elements));
}

/// Writes all rows of the matrix.
template <class E>
void unfold(const Unfolding& unfolding, const E* image, E* matrix) {
  const std::int64_t columns = unfolding.columns();
  parallel_for(unfolding.rows(), copy_grain(columns), [&](std::int64_t begin, std::int64_t end) {
    Unfolding::Row row = unfolding.row(begin);
    for (std::int64_t i = begin; i < end; ++i, row = unfolding.after(row)) {
      unfold_row(unfolding, image, row, {}, columns, matrix + i * columns);
    }
  });
}

/// Adds up what the matrix holds for each element of the image: the reverse of `unfold`.
template <class E>
class Folder {
 public:
  Folder(const Unfolding& unfolding, const E* matrix, E* image) : u_(unfolding), matrix_(matrix), image_(image) {}

  void fold() const {
    const std::int64_t lines = u_.channels * u_.axes[0].source * u_.axes[1].source;
    parallel_for(lines, copy_grain(u_.axes[2].source * u_.taps()), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        for (std::int64_t i = 0; i < u_.axes[2].source; i += kPiece)
          fold_piece(line, i, std::min(kPiece, u_.axes[2].source - i));
      }
    });
  }

 private:
  using T = compute_type<E>;
  static constexpr std::int64_t kPiece = 512;

  /// Elements [begin, begin + count) of one line of the image.
  void fold_piece(std::int64_t line, std::int64_t begin, std::int64_t count) const {
    const auto& [depth, height, width] = u_.axes;
    const std::int64_t channel = line / (depth.source * height.source);
    const std::int64_t i0 = line / height.source % depth.source, i1 = line % height.source;
    T sums[kPiece] = {};
    for (std::int64_t t0 = 0; t0 < depth.taps; ++t0) {
      const std::int64_t q0 = place(depth, t0, i0);
      if (q0 < 0) continue;
      for (std::int64_t t1 = 0; t1 < height.taps; ++t1) {
        const std::int64_t q1 = place(height, t1, i1);
        if (q1 < 0) continue;
        for (std::int64_t t2 = 0; t2 < width.taps; ++t2) {
          const std::int64_t row = ((channel * depth.taps + t0) * height.taps + t1) * width.taps + t2;
          add_line(matrix_ + (row * depth.places + q0) * height.places * width.places + q1 * width.places, t2, begin,
                   count, sums);
        }
      }
    }
    E* to = image_ + line * width.source + begin;
    for (std::int64_t i = 0; i < count; ++i) to[i] = cast<E>(sums[i]);
  }

  /// The place at which tap t reads element i, or -1.
  static std::int64_t place(const UnfoldAxis& axis, std::int64_t t, std::int64_t i) {
    const std::int64_t distance = i - axis.first_offset - t * axis.offset_step;
    if (distance < 0 || distance % axis.step != 0) return -1;
    return distance / axis.step < axis.places ? distance / axis.step : -1;
  }

  void add_line(const E* from, std::int64_t t2, std::int64_t begin, std::int64_t count, T* sums) const {
    const UnfoldAxis& width = u_.axes[2];
    // Place q adds to element q * step + offset of this piece.
    const std::int64_t offset = width.first_offset + t2 * width.offset_step - begin;
    const std::int64_t first = offset >= 0 ? 0 : (-offset + width.step - 1) / width.step;
    const std::int64_t end = count > offset ? std::min(width.places, (count - offset - 1) / width.step + 1) : 0;
    if (width.step == 1) {
      for (std::int64_t q = first; q < end; ++q) sums[q + offset] += cast<T>(from[q]);
    } else {
      for (std::int64_t q = first; q < end; ++q) sums[q * width.step + offset] += cast<T>(from[q]);
    }
  }

  const Unfolding& u_;
  const E* matrix_;
  E* image_;
};

template <class E>
void compute(const ConvCall& call) {
  const ConvProblem& p = call.problem;
  const Unfolding unfolding = unfold_input(p);
  const std::int64_t rows = unfolding.rows(), columns = unfolding.columns();
  const std::int64_t group_in = p.in_channels / p.groups, group_out = p.out_channels / p.groups;
  E* const unfolded = reinterpret_cast<E*>(call.workspace.data<std::uint8_t>());

  if (call.pass == ConvPass::weight_gradient && p.batch == 0) {
    std::fill_n(call.w.data<E>(), call.w.numel(), E{});
  }
  for (std::int64_t image = 0; image < p.batch; ++image) {
    for (std::int64_t group = 0; group < p.groups; ++group) {
      E* x = call.x.data<E>() + (image * p.in_channels + group * group_in) * unfolding.channel_size();
      E* y = call.y.data<E>() + (image * p.out_channels + group * group_out) * columns;
      E* w = call.w.data<E>() + group * group_out * rows;
      const Matrix weights{w, rows, 1}, places{y, columns, 1}, taps{unfolded, columns, 1};
      switch (call.pass) {
        case ConvPass::forward:
          unfold(unfolding, x, unfolded);
          multiply({.dtype = p.dtype,
                    .rows = group_out,
                    .columns = columns,
                    .depth = rows,
                    .a = weights,
                    .b = taps,
                    .out = places,
                    .bias = {call.bias.defined() ? call.bias.data<E>() + group * group_out : nullptr, 1}});
          break;
        case ConvPass::data_gradient:
          multiply({.dtype = p.dtype,
                    .rows = rows,
                    .columns = columns,
                    .depth = group_out,
                    .a = {w, 1, rows},
                    .b = places,
                    .out = taps});
          Folder<E>(unfolding, unfolded, x).fold();
          break;
        case ConvPass::weight_gradient:
          unfold(unfolding, x, unfolded);
          multiply({.dtype = p.dtype,
                    .rows = group_out,
                    .columns = rows,
                    .depth = columns,
                    .a = places,
                    .b = {unfolded, 1, columns},
                    .out = weights,
                    .accumulate = image > 0});
          break;
      }
    }
  }
}

}  // namespace

void conv_gemm(const ConvCall& call) {
  // A gradient in a half type must not round after every image, and floats for all of it would need memory that nobody
  // sees.
  const bool sums_images = call.pass == ConvPass::weight_gradient && call.problem.batch > 1;
  if (sums_images && is_half(call.problem.dtype)) return conv_direct(call);
  assert(call.workspace.bytes() >= unfolded_bytes(call.problem));
  visit_floating(call.problem.dtype, [&](auto zero) { compute<decltype(zero)>(call); });
}

}  // namespace mnemo::cpu
