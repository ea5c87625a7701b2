// Averages over windows whose number is given: a pooling where they are equal, else a resampling.
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

Tensor mean_of_all(const Tensor& x, int rank) {
  return rank == 1 ? mean(x, {-1}, true) : rank == 2 ? mean(x, {-2, -1}, true) : mean(x, {-3, -2, -1}, true);
}

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
  return record({&x}, resample(problem, x.array(), rank), [problem, shape = x.shape()](Backward& back) {
    back.give(0, resample_gradient(problem, back.grad(), shape));
  });
}

}  // namespace

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
