// Images of other sizes: between elements, and averages over windows whose number is given.
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

Tensor resampled(const ResampleProblem& problem, const Tensor& x, int rank) {
  return record({&x}, resample(problem, x.array(), rank), [problem, shape = x.shape()](Backward& back) {
    back.give(0, resample_gradient(problem, back.grad(), shape));
  });
}

Tensor mean_of_all(const Tensor& x, int rank) {
  return rank == 1 ? mean(x, {-1}, true) : rank == 2 ? mean(x, {-2, -1}, true) : mean(x, {-3, -2, -1}, true);
}

/// A pooling where windows are equal.
Tensor adaptive(const char* op, const Tensor& x, const Extent& out, int rank,
                Tensor (*pool)(const Tensor&, const PoolOptions&)) {
  const Operation operation(op);
  const ResampleProblem problem = resample_problem(op, ResampleMode::average, x.array(), out, rank);
  bool single = true, equal = true;
  for (int d = 0; d < rank; ++d) {
    single = single && out[d] == 1;
    equal = equal && x.size(x.rank() - rank + d) % out[d] == 0;
  }
  if (single) return mean_of_all(x, rank);
  if (equal) {
    const auto window = [&](int d) { return x.size(x.rank() - rank + d) / out[d]; };
    const Extent size = rank == 1   ? Extent{window(0)}
                        : rank == 2 ? Extent{window(0), window(1)}
                                    : Extent{window(0), window(1), window(2)};
    return pool(x, {.kernel = size, .stride = size});
  }
  return resampled(problem, x, rank);
}

}  // namespace

Tensor upsample_nearest(const Tensor& x, const Extent& scale) {
  const Operation operation("upsample_nearest");
  return record({&x}, upsample_nearest(x.array(), scale), [shape = x.shape(), scale](Backward& back) {
    back.give(0, upsample_nearest_gradient(back.grad(), shape, scale));
  });
}

Tensor interpolate(const Tensor& x, const Extent& out, const InterpolateOptions& options) {
  constexpr const char* op = "interpolate";
  const Operation operation(op);
  const int rank = x.defined() ? x.rank() - 2 : 1;
  if (rank < 1 || rank > 3)
    fail<ShapeError>(op, "input " + x.shape().text() + " must have 3 to 5 dimensions: (N, C, 1 to 3 sizes)");
  const ResampleProblem problem = resample_problem(op, options.mode, x.array(), out, rank, options.align_corners);
  return resampled(problem, x, rank);
}

Tensor adaptive_avg_pool1d(const Tensor& x, const Extent& out) {
  return adaptive("adaptive_avg_pool1d", x, out, 1, avg_pool1d);
}
Tensor adaptive_avg_pool2d(const Tensor& x, const Extent& out) {
  return adaptive("adaptive_avg_pool2d", x, out, 2, avg_pool2d);
}
Tensor adaptive_avg_pool3d(const Tensor& x, const Extent& out) {
  return adaptive("adaptive_avg_pool3d", x, out, 3, avg_pool3d);
}

}  // namespace mnemo
