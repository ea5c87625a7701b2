// prelu, composed: below 0 it is a product with a learned slope, and x says where that is.
#include <limits>

#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

constexpr const char* kOp = "prelu";
constexpr Scalars kNotAbove{.a = -std::numeric_limits<double>::infinity(), .b = 0};

/// The slopes as numbers that broadcast to x.
Array slopes_for(const Array& x, const Array& weight) {
  Dims sizes;
  for (int axis = 0; axis < x.rank(); ++axis) sizes.push_back(axis == 1 ? weight.numel() : 1);
  return weight.to(x.dtype()).reshape(sizes);
}

}  // namespace

Tensor prelu(const Tensor& x, const Tensor& weight) {
  const Operation operation(kOp);
  check_same_device(kOp, x.array(), weight.array());
  check_floating(kOp, x.array());
  check_floating(kOp, weight.array());
  const std::int64_t count = weight.numel();
  if (weight.rank() > 1 || (count != 1 && (x.rank() < 2 || count != x.size(1)))) {
    fail<ShapeError>(kOp, fmt::format("weight {} for x {}: it must have one number, or one for each channel, which is "
                                      "axis 1 of x",
                                      weight.shape().text(), x.shape().text()));
  }
  Array y = map(UnaryOp::clamp, x.array(), kNotAbove);
  map_into(BinaryOp::multiply, y, slopes_for(x.array(), weight.array()), y);
  map_into(BinaryOp::add, y, map(UnaryOp::relu, x.array()), y);
  return record({&x, &weight}, std::move(y),
                [x = save_if(needs_grad(x) || needs_grad(weight), x.array()),
                 weight = save_if(needs_grad(x) || needs_grad(weight), weight.array())](Backward& back) {
                  const Array& input = x.get();
                  const Array slopes = slopes_for(input, weight.get());
                  // Of both parts the derivative is 0 on the other one's side.
                  const Array below = map_gradient(UnaryOp::clamp, back.grad(), input, kNotAbove);
                  if (back.needs(1)) {
                    // In the wider of both dtypes, as sums are large; and without what is above 0, as it may be
                    // infinite.
                    const DType dtype = weight.get().dtype();
                    const Array factors = map(UnaryOp::clamp, input, kNotAbove).to(promote(input.dtype(), dtype));
                    const Array each = sum_to(map(BinaryOp::multiply, below, factors), slopes.shape());
                    back.give(1, each.reshape(weight.get().shape()).to(dtype));
                  }
                  if (!back.needs(0)) return;
                  map_into(BinaryOp::multiply, below, slopes, below);
                  const Array dx = map_gradient(UnaryOp::relu, back.take_grad(), input);
                  map_into(BinaryOp::add, dx, below, dx);
                  back.give(0, dx);
                });
}

}  // namespace mnemo
