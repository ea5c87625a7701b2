#include <mnemo/core/cpu/eigen_product.h>

#include <algorithm>

// Each call is one thread's: how the work is cut must depend on its size alone.
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

using Index = std::int64_t;

/// How one operand lies in memory; `order` is the storage order in which Eigen reads it without a copy.
struct Lines {
  bool usable = false;
  int order = Eigen::RowMajor;
  Index outer = 0;

  Lines(Index row_stride, Index column_stride, Index rows, Index columns) {
    // Along a dimension of size 1 no step is ever taken, so its stride can be anything.
    const auto fits = [](Index inner_stride, Index inner, Index outer_stride, Index outer_size) {
      return (inner_stride == 1 || inner == 1) && (outer_stride >= inner || outer_size == 1);
    };
    if (fits(column_stride, columns, row_stride, rows)) {
      usable = true;
      outer = std::max(row_stride, columns);
    } else if (fits(row_stride, rows, column_stride, columns)) {
      usable = true;
      order = Eigen::ColMajor;
      outer = std::max(column_stride, rows);
    }
  }
};

template <class T, int order>
using View = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, order>, 0, Eigen::OuterStride<>>;
template <class T>
using Target = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;

/// A rectangle of one product's result.
struct Part {
  Index row, rows, column, columns;
};

/// Writes the part of the bias, to which the product is added.
template <class T>
void spread_bias(const Matrix& bias, const Part& part, Target<T>& target) {
  for (Index i = 0; i < part.rows; ++i) {
    const T* from =
        static_cast<const T*>(bias.data) + (part.row + i) * bias.row_stride + part.column * bias.column_stride;
    T* to = target.data() + i * target.outerStride();
    if (bias.column_stride == 0) {
      std::fill_n(to, part.columns, *from);
    } else if (bias.column_stride == 1) {
      std::copy_n(from, part.columns, to);
    } else {
      for (Index j = 0; j < part.columns; ++j) to[j] = from[j * bias.column_stride];
    }
  }
}

template <class T, int order_a, int order_b>
void multiply_part(const Product& p, Index batch, const Part& part, Index outer_a, Index outer_b) {
  const T* a = static_cast<const T*>(p.a.data) + batch * p.a.batch_stride + part.row * p.a.row_stride;
  const T* b = static_cast<const T*>(p.b.data) + batch * p.b.batch_stride + part.column * p.b.column_stride;
  T* out = static_cast<T*>(p.out.data) + batch * p.out.batch_stride + part.row * p.out.row_stride + part.column;
  const View<T, order_a> left(a, part.rows, p.depth, Eigen::OuterStride<>(outer_a));
  const View<T, order_b> right(b, p.depth, part.columns, Eigen::OuterStride<>(outer_b));
  const T scale = static_cast<T>(p.scale);
  Target<T> target(out, part.rows, part.columns, Eigen::OuterStride<>(std::max(p.out.row_stride, part.columns)));
  if (p.bias.data == nullptr && !p.accumulate) {
    target.noalias() = scale * left * right;
    return;
  }
  if (p.bias.data != nullptr) spread_bias(p.bias, part, target);
  target.noalias() += scale * left * right;
}

template <class T>
void multiply_part(const Product& p, Index batch, const Part& part, const Lines& a, const Lines& b) {
  constexpr int row = Eigen::RowMajor, column = Eigen::ColMajor;
  if (a.order == row && b.order == row) return multiply_part<T, row, row>(p, batch, part, a.outer, b.outer);
  if (a.order == row) return multiply_part<T, row, column>(p, batch, part, a.outer, b.outer);
  if (b.order == row) return multiply_part<T, column, row>(p, batch, part, a.outer, b.outer);
  return multiply_part<T, column, column>(p, batch, part, a.outer, b.outer);
}

template <class T>
void multiply_as(const Product& p, const Lines& a, const Lines& b) {
  // Strips across the longer side, each worth about a quarter of a millisecond or more and wide enough to be packed
  // well. A few small products make smaller ones, so that there is something to share.
  constexpr Index kWorthwhile = Index{1} << 23, kLeast = 64, kMost = 16, kShared = 4;
  const bool by_rows = p.rows > p.columns;
  const Index length = by_rows ? p.rows : p.columns;
  const double work = static_cast<double>(p.rows) * static_cast<double>(p.columns) * static_cast<double>(p.depth);
  const auto worth = [&](Index each) {
    return static_cast<Index>(std::min(work / static_cast<double>(each), static_cast<double>(kMost)));
  };
  const Index wanted =
      std::max(worth(kWorthwhile), std::min(worth(kWorthwhile / 4), kShared / std::max<Index>(1, p.batch)));
  const Index strips = std::clamp<Index>(std::min(wanted, length / kLeast), 1, kMost);
  const Index width = (length + strips - 1) / strips;
  const Index grain =
      std::max<Index>(1, static_cast<Index>(static_cast<double>(kWorthwhile) / 32 / std::max(work, 1.0)));
  parallel_for(p.batch * strips, grain, [&](Index begin, Index end) {
    for (Index task = begin; task < end; ++task) {
      const Index at = task % strips * width, count = std::min(width, length - at);
      if (count <= 0) continue;
      const Part part = by_rows ? Part{at, count, 0, p.columns} : Part{0, p.rows, at, count};
      multiply_part<T>(p, task / strips, part, a, b);
    }
  });
}

}  // namespace

bool multiply_with_eigen(const Product& p) {
  if (p.dtype != DType::float32 && p.dtype != DType::float64) return false;
  const Lines a(p.a.row_stride, p.a.column_stride, p.rows, p.depth),
      b(p.b.row_stride, p.b.column_stride, p.depth, p.columns);
  const Lines out(p.out.row_stride, p.out.column_stride, p.rows, p.columns);
  if (!a.usable || !b.usable || !out.usable || (out.order != Eigen::RowMajor)) return false;
  if (p.rows == 0 || p.columns == 0 || p.depth == 0) return false;
  if (p.dtype == DType::float32)
    multiply_as<float>(p, a, b);
  else
    multiply_as<double>(p, a, b);
  return true;
}

}  // namespace mnemo::cpu
