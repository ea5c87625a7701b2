#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

Tensor pooling(const char* op, PoolProblem::Kind kind, int spatial_rank, const Tensor& x, const PoolOptions& options) {
  const Operation operation(op);
  const PoolProblem problem = pool_problem(op, kind, x.array(), spatial_rank, options);
  Pooled pooled = pool(problem, x.array(), spatial_rank, needs_grad(x));
  return record({&x}, std::move(pooled.y),
                [problem, shape = x.shape(), offsets = save_if(true, pooled.offsets)](Backward& back) {
                  back.give(0, pool_gradient(problem, back.grad(), offsets.get(), shape));
                });
}

}  // namespace

Tensor max_pool1d(const Tensor& x, const PoolOptions& options) {
  return pooling("max_pool1d", PoolProblem::Kind::max, 1, x, options);
}
Tensor max_pool2d(const Tensor& x, const PoolOptions& options) {
  return pooling("max_pool2d", PoolProblem::Kind::max, 2, x, options);
}
Tensor max_pool3d(const Tensor& x, const PoolOptions& options) {
  return pooling("max_pool3d", PoolProblem::Kind::max, 3, x, options);
}
Tensor avg_pool1d(const Tensor& x, const PoolOptions& options) {
  return pooling("avg_pool1d", PoolProblem::Kind::average, 1, x, options);
}
Tensor avg_pool2d(const Tensor& x, const PoolOptions& options) {
  return pooling("avg_pool2d", PoolProblem::Kind::average, 2, x, options);
}
Tensor avg_pool3d(const Tensor& x, const PoolOptions& options) {
  return pooling("avg_pool3d", PoolProblem::Kind::average, 3, x, options);
}

}  // namespace mnemo
