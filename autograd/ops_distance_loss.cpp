// Losses of a prediction against a target of the same shape, by their difference: of it the gradients are computed too.
#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

void check_pair(const char* op, const Tensor& prediction, const Tensor& target) {
  check_floating(op, prediction.array());
  check_floating(op, target.array());
  check_same_device(op, prediction.array(), target.array());
  if (!(prediction.shape() == target.shape())) {
    fail<ShapeError>(op, fmt::format("prediction {} and target {} differ in shape; reshape one of them",
                                     prediction.shape().text(), target.shape().text()));
  }
}

/// d^2 or |d|, by the functor.
struct Elementwise {
  UnaryOp op;
  Scalars scalars = {};
  Array value(const Array& d) const { return map(op, d, scalars); }
  Array gradient(const Array& g, const Array& d) const { return map_gradient(op, g.expand(d.shape()), d, scalars); }
};

/// d^2 / 2 up to |d| = bound, and from there on a straight line, all of it times `scale`: with c, which is d limited to
/// that, it is c (d - c / 2), and its derivative c.
struct Rounded {
  double bound, scale;
  Array limited(const Array& d) const { return map(UnaryOp::clamp, d, {-bound, bound}); }
  Array value(const Array& d) const {
    const Array c = limited(d), rest = map(UnaryOp::affine, c, {-0.5 * scale, 0});
    // scale d - scale c / 2, then times c.
    map_into(BinaryOp::add, rest, map(UnaryOp::affine, d, {scale, 0}), rest);
    map_into(BinaryOp::multiply, rest, c, rest);
    return rest;
  }
  Array gradient(const Array& g, const Array& d) const {
    return map(BinaryOp::multiply, limited(d), map(UnaryOp::affine, g, {scale, 0}));
  }
};

template <class Distance>
Tensor loss_of(const char* op, const Tensor& prediction, const Tensor& target, Reduction reduction,
               const Distance& distance) {
  if (const OperandCast cast(op, {&prediction, &target}); cast)
    return loss_of(op, cast(prediction), cast(target), reduction, distance);
  const Operation operation(op);
  check_pair(op, prediction, target);
  const Array difference = map(BinaryOp::subtract, prediction.array(), target.array());
  const double scale = reduction == Reduction::mean ? 1.0 / static_cast<double>(difference.numel()) : 1;
  const unsigned all = (1u << difference.rank()) - 1;
  Array loss = distance.value(difference);
  if (reduction != Reduction::none) loss = reduce(ReduceOp::sum, loss, all, false, scale);
  const bool wanted = needs_grad(prediction) || needs_grad(target);
  return record({&prediction, &target}, std::move(loss),
                [scale, distance, dtypes = std::pair(prediction.dtype(), target.dtype()),
                 difference = save_if(wanted, difference)](Backward& back) {
                  const Array g = scale == 1 ? back.take_grad() : map(UnaryOp::affine, back.grad(), {scale, 0});
                  const Array d = distance.gradient(g, difference.get());
                  if (back.needs(1)) back.give(1, map(UnaryOp::neg, d).to(dtypes.second));
                  if (back.needs(0)) back.give(0, d.to(dtypes.first));
                });
}

}  // namespace

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return loss_of("mse_loss", prediction, target, reduction, Elementwise{UnaryOp::power, {2, 0}});
}

Tensor l1_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return loss_of("l1_loss", prediction, target, reduction, Elementwise{UnaryOp::abs});
}

Tensor smooth_l1_loss(const Tensor& prediction, const Tensor& target, double beta, Reduction reduction) {
  if (!(beta >= 0)) fail<ShapeError>("smooth_l1_loss", fmt::format("beta {} must not be negative", beta));
  if (beta == 0) return loss_of("smooth_l1_loss", prediction, target, reduction, Elementwise{UnaryOp::abs});
  return loss_of("smooth_l1_loss", prediction, target, reduction, Rounded{beta, 1 / beta});
}

Tensor huber_loss(const Tensor& prediction, const Tensor& target, double delta, Reduction reduction) {
  if (!(delta > 0)) fail<ShapeError>("huber_loss", fmt::format("delta {} must be more than 0", delta));
  return loss_of("huber_loss", prediction, target, reduction, Rounded{delta, 1});
}

}  // namespace mnemo
