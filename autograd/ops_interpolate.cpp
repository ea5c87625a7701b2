// Images of other sizes.
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo {

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
  return record({&x}, resample(problem, x.array(), rank), [problem, shape = x.shape()](Backward& back) {
    back.give(0, resample_gradient(problem, back.grad(), shape));
  });
}

}  // namespace mnemo
