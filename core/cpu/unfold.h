// A convolution's input seen as a matrix: one row per (channel, tap), one column per place of the kernel. Rows are
// computed piece by piece, so that the matrix need not exist.
#pragma once

#include <array>

#include <mnemo/core/conv.h>
#include <mnemo/core/cpu/product.h>

namespace mnemo::cpu {

/// One axis: at place q, tap j reads source element q * step + first_offset + j * offset_step (0 outside the source).
struct UnfoldAxis {
  std::int64_t source = 1;
  std::int64_t places = 1;
  std::int64_t step = 1;
  std::int64_t taps = 1;
  std::int64_t first_offset = 0, offset_step = 1;
  std::int64_t first_tap = 0, tap_step = 1;  ///< which taps of the kernel these are
};

struct Unfolding {
  std::int64_t channels = 1;
  std::array<UnfoldAxis, 3> axes;

  std::int64_t taps() const { return axes[0].taps * axes[1].taps * axes[2].taps; }
  std::int64_t rows() const { return channels * taps(); }
  std::int64_t columns() const { return axes[0].places * axes[1].places * axes[2].places; }
  std::int64_t channel_size() const { return axes[0].source * axes[1].source * axes[2].source; }

  /// A row's channel and taps; a column's place. Found by division once, then by counting on.
  struct Row {
    std::int64_t channel = 0, t0 = 0, t1 = 0, t2 = 0;
  };
  struct Column {
    std::int64_t q0 = 0, q1 = 0, q2 = 0;
  };
  Row row(std::int64_t index) const;
  Row after(Row row) const;
  Column column(std::int64_t index) const;
};

/// The input of one group, for places of the output.
Unfolding unfold_input(const ConvProblem& problem);

/// The output's gradient of one group, for input elements `phase + q * stride`: only some taps reach those.
Unfolding unfold_gradient(const ConvProblem& problem, const Size3& phase);

/// `count` columns of one row from `begin` on; `source` is the first channel.
template <class E, class T>
void unfold_row(const Unfolding& unfolding, const E* source, const Unfolding::Row& row, const Unfolding::Column& begin,
                std::int64_t count, T* to);

/// The matrix as the right operand whose depth is its rows (forward), or its columns (`transposed`: weight gradient).
template <class T, class E>
class UnfoldedOperand final : public Operand<T> {
 public:
  UnfoldedOperand(const Unfolding& unfolding, const E* source, bool transposed)
      : unfolding_(unfolding), source_(source), transposed_(transposed) {}
  void pack(std::int64_t line, std::int64_t lines, std::int64_t k, std::int64_t depth, int width, T* to) const override;

 private:
  const Unfolding& unfolding_;
  const E* source_;
  bool transposed_;
};

}  // namespace mnemo::cpu
