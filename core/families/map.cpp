#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/random.h>

namespace mnemo {

namespace {

/// Both operands in the dtype of the result, expanded to its shape, and the result's memory.
struct Operands {
  Array a, b, out;
};

Operands prepare(const char* op, const Array& a, const Array& b, std::optional<DType> result) {
  check_same_device(op, a, b);
  const DType dtype = promote(a.dtype(), b.dtype());
  const Array left = a.to(dtype), right = b.to(dtype);
  const DType out_dtype = result.value_or(dtype);
  if (left.shape() == right.shape()) return {left, right, Array::like(left, out_dtype)};
  const Shape shape = broadcast(a.shape(), b.shape(), op);
  const Array* full = left.shape() == shape ? &left : right.shape() == shape ? &right : nullptr;
  const Array out = full ? Array::like(*full, out_dtype) : Array(shape, out_dtype, a.device());
  return {left.expand(shape), right.expand(shape), out};
}

void check_target(const char* op, const Shape& result, const Array& out) {
  if (!(result == out.shape())) {
    fail<ShapeError>(op, fmt::format("the result has shape {}, which does not fit in place into {}", result.text(), out.shape().text()));
  }
}

}  // namespace

Array map(UnaryOp op, const Array& x, const Scalars& scalars) {
  check_floating(name(op), x);
  const Array out = Array::like(x);
  x.device().backend().unary(op, scalars, x, out);
  return out;
}

Array map_gradient(UnaryOp op, Array grad, const Array& saved, const Scalars& scalars) {
  const bool reuse = grad.storage().is_unique() && grad.layout().is_dense();
  const Array out = reuse ? grad : Array::like(grad);
  grad.device().backend().unary_gradient(op, scalars, grad, saves(op) == Saves::nothing ? grad : saved, out);
  return out;
}

Array map(BinaryOp op, const Array& a, const Array& b) {
  const Operands operands = prepare(name(op), a, b, std::nullopt);
  a.device().backend().binary(op, operands.a, operands.b, operands.out);
  return operands.out;
}

Array compare(CompareOp op, const Array& a, const Array& b) {
  const Operands operands = prepare(name(op), a, b, DType::boolean);
  a.device().backend().compare(op, operands.a, operands.b, operands.out);
  return operands.out;
}

void map_into(UnaryOp op, const Array& x, const Array& out, const Scalars& scalars) {
  check_floating(name(op), x);
  check_same_device(name(op), x, out);
  check_target(name(op), x.shape(), out);
  x.device().backend().unary(op, scalars, x, out);
  out.storage()->changed_in_place();
}

void map_into(BinaryOp op, const Array& a, const Array& b, const Array& out) {
  check_same_device(name(op), a, b);
  check_same_device(name(op), a, out);
  check_target(name(op), broadcast(a.shape(), b.shape(), name(op)), out);
  if (promote(promote(a.dtype(), b.dtype()), out.dtype()) != out.dtype()) {
    fail<DTypeError>(name(op), fmt::format("{} with {} does not fit in place into {}", name(a.dtype()), name(b.dtype()), name(out.dtype())));
  }
  out.device().backend().binary(op, a.to(out.dtype()).expand(out.shape()), b.to(out.dtype()).expand(out.shape()), out);
  out.storage()->changed_in_place();
}

void copy_into(const Array& from, const Array& to) {
  check_same_device("copy", from, to);
  to.device().backend().copy(from.expand(to.shape()), to);
  to.storage()->changed_in_place();
}

void fill(const Array& out, double value) {
  check_defined("fill", out);
  out.device().backend().fill(out, value);
  out.storage()->changed_in_place();
}

Array full(const Shape& shape, double value, DType dtype, const Device& device) {
  const Array out(shape, dtype, device);
  device.backend().fill(out, value);
  return out;
}

Array random(RandomCall call, const Shape& shape, DType dtype, const Device& device) {
  const Array out(shape, dtype, device);
  const RandomState state = take_random(shape.numel());
  call.seed = state.seed;
  call.offset = state.offset;
  device.backend().random(call, out);
  return out;
}

Array dropout(const DropoutCall& call, const Array& x) {
  check_floating("dropout", x);
  const Array source = x.contiguous();
  const Array out(x.shape(), x.dtype(), x.device());
  x.device().backend().dropout(call, source, out);
  return out;
}

Array concat(std::span<const Array> parts, int axis) {
  if (parts.empty()) fail<ShapeError>("concat", "no parts given");
  const Array& first = parts[0];
  check_defined("concat", first);
  axis = normalize_axis(axis, first.rank(), "concat");
  std::int64_t total = 0;
  DType dtype = first.dtype();
  for (const Array& part : parts) {
    check_same_device("concat", first, part);
    if (part.rank() != first.rank() || !(part.shape().with(axis, 0) == first.shape().with(axis, 0))) {
      fail<ShapeError>("concat", fmt::format("{} and {} differ outside axis {}", first.shape().text(), part.shape().text(), axis));
    }
    total += part.size(axis);
    dtype = promote(dtype, part.dtype());
  }
  const Array out(first.shape().with(axis, total), dtype, first.device());
  std::int64_t at = 0;
  for (const Array& part : parts) {
    out.device().backend().copy(part, out.slice(axis, at, at + part.size(axis)));
    at += part.size(axis);
  }
  return out;
}

}  // namespace mnemo
