#include <mnemo/nn/functions.h>

#include <mnemo/autograd/recompute.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo::nn {

bool can_overwrite(const Tensor& x) {
  if (!x.defined() || Region::current() != nullptr) return false;
  const Storage& storage = *x.array().storage();
  // Kept for backward by what gives it again (StandIn): then others hold that besides the operation that made it.
  if (const auto stand_in = storage.stand_in().lock(); stand_in.use_count() > 2) return false;
  return storage.category() == memory::Category::live_activation && !storage.is_held_for_backward() &&
         !storage.holds_leaf() && x.array().layout().is_dense();
}

Tensor ReLU::forward(const Tensor& x) const {
  if (!options.in_place && !in_place) return relu(x);
  if (!can_overwrite(x)) return options.pooled ? relu_bits(x) : relu(x);
  Tensor y = x;
  return options.pooled ? relu_bits_(y) : relu_(y);
}

Tensor add_relu(const Tensor& a, const Tensor& b, bool in_place) {
  const bool same = a.defined() && b.defined() && a.shape() == b.shape() && a.dtype() == b.dtype();
  if (!in_place || !same || !can_overwrite(a)) return relu(a + b);
  Tensor y = a;
  add_(y, b);
  return relu_(y);
}

Tensor GELU::forward(const Tensor& x) const {
  const auto run = [by_tanh = options.by_tanh](const Tensor& y) { return by_tanh ? gelu_tanh(y) : gelu(y); };
  return in_place ? recompute(run, x) : run(x);
}

Tensor SiLU::forward(const Tensor& x) const {
  return in_place ? recompute([](const Tensor& y) { return silu(y); }, x) : silu(x);
}

Tensor Hardswish::forward(const Tensor& x) const {
  return in_place ? recompute([](const Tensor& y) { return hardswish(y); }, x) : hardswish(x);
}

Tensor Mish::forward(const Tensor& x) const {
  return in_place ? recompute([](const Tensor& y) { return mish(y); }, x) : mish(x);
}

Tensor GlobalAvgPool::forward(const Tensor& x) const {
  const int rank = x.rank();
  if (rank < 3 || rank > 5)
    fail<ShapeError>("global_avg_pool", "input " + x.shape().text() + " must be (N, C, 1 to 3 sizes)");
  return rank == 3 ? mean(x, {2}, true) : rank == 4 ? mean(x, {2, 3}, true) : mean(x, {2, 3, 4}, true);
}

Tensor Upsample::forward(const Tensor& x) const {
  if (options.mode == ResampleMode::nearest) return upsample_nearest(x, scale);
  check_upsample("upsample", x.array(), scale);
  const auto size = [&](int d) { return checked_multiply(x.size(2 + d), scale[d], "the size of the result"); };
  const int rank = x.rank() - 2;
  return interpolate(x,
                     rank == 1   ? Extent{size(0)}
                     : rank == 2 ? Extent{size(0), size(1)}
                                 : Extent{size(0), size(1), size(2)},
                     options);
}

}  // namespace mnemo::nn
