#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

unsigned all_axes(const char* op, const Tensor& x) {
  check_defined(op, x.array());
  return (1u << x.rank()) - 1;
}

unsigned axes_of(const char* op, const Tensor& x, std::initializer_list<int> axes) {
  check_defined(op, x.array());
  unsigned mask = 0;
  for (int axis : axes) {
    const unsigned bit = 1u << normalize_axis(axis, x.rank(), op);
    if (mask & bit) fail<ShapeError>(op, fmt::format("axis {} is given twice", axis));
    mask |= bit;
  }
  return mask;
}

/// The shape with the reduced axes kept as size 1, so that it broadcasts against x.
Dims kept_shape(const Shape& shape, unsigned axes) {
  Dims sizes = shape;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axes >> axis & 1u) sizes[axis] = 1;
  }
  return sizes;
}

/// The shape without the reduced axes.
Dims reduced_shape(const Shape& shape, unsigned axes) {
  Dims sizes;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!(axes >> axis & 1u)) sizes.push_back(shape[axis]);
  }
  return sizes;
}

std::int64_t count_along(const Tensor& x, unsigned axes) {
  std::int64_t count = 1;
  for (int axis = 0; axis < x.rank(); ++axis) count *= (axes >> axis & 1u) ? x.size(axis) : 1;
  return count;
}

Tensor sum_over(const char* op, const Tensor& x, unsigned axes, bool keep, bool divide) {
  if (const OperandCast cast(op, {&x}); cast) return sum_over(op, cast(x), axes, keep, divide);
  const Operation operation(op);
  const std::int64_t count = count_along(x, axes);
  if (divide && !is_floating(x.dtype())) {
    fail<DTypeError>(op,
                     fmt::format("the mean of {} is not defined; cast with to(x, DType::float32)", name(x.dtype())));
  }
  const double scale = divide ? 1.0 / static_cast<double>(count) : 1;
  return record({&x}, reduce(ReduceOp::sum, x.array(), axes, keep, scale),
                [shape = x.shape(), axes, scale](Backward& back) {
                  const Array g = scale == 1 ? back.take_grad() : map(UnaryOp::affine, back.grad(), {scale, 0});
                  back.give(0, g.reshape(kept_shape(shape, axes)).expand(shape));
                });
}

/// x itself, or a copy in float32 for a half type.
Array wide(const Array& x) { return is_half(x.dtype()) ? x.to(DType::float32) : x; }

/// x less its mean along the axes, in new memory.
Array deviations(const Array& x, unsigned axes, std::int64_t count) {
  const Array values = wide(x);
  const Array mean = reduce(ReduceOp::sum, values, axes, true, 1.0 / static_cast<double>(count));
  if (values.storage() == x.storage()) return map(BinaryOp::subtract, values, mean);
  map_into(BinaryOp::subtract, values, mean, values);
  return values;
}

/// What the squared deviations are multiplied by to give the variance.
double variance_scale(std::int64_t count, double correction) {
  return 1 / std::max(0.0, static_cast<double>(count) - correction);
}

/// scale * the sum of the squared deviations, in float32 for a half type; reduced axes have size 1.
Array wide_variance(const Array& x, unsigned axes, std::int64_t count, double scale) {
  const Array squares = deviations(x, axes, count);
  map_into(UnaryOp::power, squares, squares, {2, 0});
  return reduce(ReduceOp::sum, squares, axes, true, scale);
}

/// x where it is not 0, else 1.
Array divisor_of(const Array& x) {
  const Array nothing = compare(CompareOp::equal, x, full(Shape{}, 0, x.dtype(), x.device()));
  return map(BinaryOp::add, x, nothing.to(x.dtype()));
}

Tensor variance_over(const Tensor& x, unsigned axes, bool keep, double correction) {
  if (const OperandCast cast("variance", {&x}); cast) return variance_over(cast(x), axes, keep, correction);
  const Operation operation("variance");
  check_floating("variance", x.array());
  const std::int64_t count = count_along(x, axes);
  const double scale = variance_scale(count, correction);
  const Array y = wide_variance(x.array(), axes, count, scale);
  const Array result = keep ? y : y.reshape(reduced_shape(x.shape(), axes));
  return record({&x}, result.to(x.dtype()),
                [axes, count, scale, x = save_if(needs_grad(x), x.array())](Backward& back) {
                  // That the mean moves too does not matter: the deviations from it add up to 0.
                  const Array d = deviations(x.get(), axes, count);
                  const Array g = back.grad().reshape(kept_shape(d.shape(), axes)).to(d.dtype());
                  map_into(BinaryOp::multiply, d, map(UnaryOp::affine, g, {2 * scale, 0}), d);
                  back.give(0, d.to(x.get().dtype()));
                });
}

/// The root of the variance, rounded once. Its gradient at 0 is 0.
Tensor deviation_over(const Tensor& x, unsigned axes, bool keep, double correction) {
  if (const OperandCast cast("variance", {&x}); cast) return deviation_over(cast(x), axes, keep, correction);
  constexpr const char* op = "standard_deviation";
  const Operation operation(op);
  check_floating(op, x.array());
  const std::int64_t count = count_along(x, axes);
  const double scale = variance_scale(count, correction);
  const Array y = wide_variance(x.array(), axes, count, scale);
  map_into(UnaryOp::sqrt, y, y);
  const Array result = keep ? y : y.reshape(reduced_shape(x.shape(), axes));
  return record(
      {&x}, result.to(x.dtype()),
      [axes, count, scale, x = save_if(needs_grad(x), x.array()), y = save_if(needs_grad(x), y)](Backward& back) {
        const Array d = deviations(x.get(), axes, count), &deviation = y.get();
        const Array g = back.grad().reshape(deviation.shape()).to(d.dtype());
        const Array share = map(UnaryOp::affine, map(BinaryOp::divide, g, divisor_of(deviation)), {scale, 0});
        map_into(BinaryOp::multiply, d, share, d);
        back.give(0, d.to(x.get().dtype()));
      });
}

Tensor norm_over(const Tensor& x, unsigned axes, bool keep) {
  if (const OperandCast cast("norm", {&x}); cast) return norm_over(cast(x), axes, keep);
  const Operation operation("norm");
  check_floating("norm", x.array());
  const Array squares = map(UnaryOp::power, wide(x.array()), {2, 0});
  const Array y = map(UnaryOp::sqrt, reduce(ReduceOp::sum, squares, axes, true)).to(x.dtype());
  return record({&x}, keep ? y : y.reshape(reduced_shape(x.shape(), axes)),
                [x = save_if(needs_grad(x), x.array()), y = save_if(needs_grad(x), y)](Backward& back) {
                  const Array& norm = y.get();
                  const Array share = map(BinaryOp::divide, back.grad().reshape(norm.shape()), divisor_of(norm));
                  back.give(0, map(BinaryOp::multiply, x.get(), share));
                });
}

Tensor extreme(ReduceOp op, const char* op_name, const Tensor& x, unsigned axes, bool keep) {
  const Operation operation(op_name);
  const Array best = reduce(op, x.array(), axes, true);
  Saved saved = save_if(needs_grad(x), x.array());
  Saved saved_best = save_if(needs_grad(x), best);
  return record({&x}, keep ? best : best.reshape(reduced_shape(x.shape(), axes)),
                [axes, x = std::move(saved), best = std::move(saved_best)](Backward& back) {
                  const DType dtype = x.get().dtype(),
                              wide = compute_dtype(dtype);  // a half type may not hold the count
                  const Array equal = compare(CompareOp::equal, x.get(), best.get());
                  const Array count = reduce(ReduceOp::sum, equal, axes).to(wide);
                  const Array share = map(BinaryOp::divide, back.grad().reshape(count.shape()).to(wide), count);
                  back.give(0, map(BinaryOp::multiply, equal.to(dtype), share.to(dtype)));
                });
}

/// The nearest number that is not infinite.
Array finite(const Array& x) {
  const double most =
      x.dtype() == DType::float64 ? std::numeric_limits<double>::max() : double{std::numeric_limits<float>::max()};
  return map(UnaryOp::clamp, x, {-most, most});
}

Tensor log_sum_exp_over(const Tensor& x, unsigned axes, bool keep) {
  constexpr const char* op = "log_sum_exp";
  if (const OperandCast cast(op, {&x}); cast) return log_sum_exp_over(cast(x), axes, keep);
  const Operation operation(op);
  check_floating(op, x.array());
  const Array values = wide(x.array());
  const Array top = finite(reduce(ReduceOp::max, values, axes, true));
  const Array powers = map(BinaryOp::subtract, values, top);
  map_into(UnaryOp::exp, powers, powers);
  const Array y = map(UnaryOp::log, reduce(ReduceOp::sum, powers, axes, true));
  map_into(BinaryOp::add, y, top, y);
  const Array result = keep ? y : y.reshape(reduced_shape(x.shape(), axes));
  return record({&x}, result.to(x.dtype()),
                [x = save_if(needs_grad(x), x.array()), y = save_if(needs_grad(x), y)](Backward& back) {
                  // exp(x - y), the shares, which add up to 1.
                  const Array shares = map(BinaryOp::subtract, wide(x.get()), finite(y.get()));
                  map_into(UnaryOp::exp, shares, shares);
                  const Array g = back.grad().reshape(y.get().shape()).to(shares.dtype());
                  map_into(BinaryOp::multiply, shares, g, shares);
                  back.give(0, shares.to(x.get().dtype()));
                });
}

}  // namespace

Tensor sum(const Tensor& x) { return sum_over("sum", x, all_axes("sum", x), false, false); }
Tensor sum(const Tensor& x, std::initializer_list<int> axes, bool keep) {
  return sum_over("sum", x, axes_of("sum", x, axes), keep, false);
}
Tensor mean(const Tensor& x) { return sum_over("mean", x, all_axes("mean", x), false, true); }
Tensor mean(const Tensor& x, std::initializer_list<int> axes, bool keep) {
  return sum_over("mean", x, axes_of("mean", x, axes), keep, true);
}
Tensor max(const Tensor& x) { return extreme(ReduceOp::max, "max", x, all_axes("max", x), false); }
Tensor min(const Tensor& x) { return extreme(ReduceOp::min, "min", x, all_axes("min", x), false); }
Tensor max(const Tensor& x, int axis, bool keep) {
  return extreme(ReduceOp::max, "max", x, axes_of("max", x, {axis}), keep);
}
Tensor min(const Tensor& x, int axis, bool keep) {
  return extreme(ReduceOp::min, "min", x, axes_of("min", x, {axis}), keep);
}
Tensor log_sum_exp(const Tensor& x) { return log_sum_exp_over(x, all_axes("log_sum_exp", x), false); }
Tensor log_sum_exp(const Tensor& x, std::initializer_list<int> axes, bool keep) {
  return log_sum_exp_over(x, axes_of("log_sum_exp", x, axes), keep);
}

Tensor variance(const Tensor& x) { return variance_over(x, all_axes("variance", x), false, 1); }
Tensor variance(const Tensor& x, std::initializer_list<int> axes, bool keep, double correction) {
  return variance_over(x, axes_of("variance", x, axes), keep, correction);
}
Tensor standard_deviation(const Tensor& x) { return deviation_over(x, all_axes("standard_deviation", x), false, 1); }
Tensor standard_deviation(const Tensor& x, std::initializer_list<int> axes, bool keep, double correction) {
  return deviation_over(x, axes_of("standard_deviation", x, axes), keep, correction);
}
Tensor norm(const Tensor& x) { return norm_over(x, all_axes("norm", x), false); }
Tensor norm(const Tensor& x, std::initializer_list<int> axes, bool keep) {
  return norm_over(x, axes_of("norm", x, axes), keep);
}

Tensor arg_max(const Tensor& x, int axis) {
  const Operation operation("arg_max");
  return Tensor(arg_max(x.array(), axis));
}

}  // namespace mnemo
