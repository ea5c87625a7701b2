#include <algorithm>

#include <mnemo/core/capture.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>
#include <mnemo/core/random.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// Brings both operands into the dtype of the result, `result` or what they promote to, and expands them to its shape;
/// `work(a, b, out)` fills it.
template <class Work>
Array together(const char* op, const Array& a, const Array& b, std::optional<DType> result, const Work& work) {
  check_same_device(op, a, b);
  const DType dtype = promote(a.dtype(), b.dtype()), out_dtype = result.value_or(dtype);
  // The result has the strides of `full`, an operand of its shape, where there is one.
  const auto filled = [&](const Array& left, const Array& right, const Array* full) {
    const Array out = full ? Array::like(*full, out_dtype) : Array(left.shape(), out_dtype, left.device());
    count_operations(out.numel());
    work(left, right, out);
    return out;
  };
  if (a.dtype() == b.dtype() && a.shape() == b.shape()) return filled(a, b, &a);
  const Array left = a.to(dtype), right = b.to(dtype);
  if (left.shape() == right.shape()) return filled(left, right, &left);
  const Shape shape = broadcast(a.shape(), b.shape(), op);
  const Array* full = left.shape() == shape ? &left : right.shape() == shape ? &right : nullptr;
  return filled(left.expand(shape), right.expand(shape), full);
}

/// What an in-place change is called: "add_" inside that operation, else the name of its arithmetic.
const char* called(const char* arithmetic) {
  const char* op = memory::current_tag().op;
  return *op ? op : arithmetic;
}

void check_target(const char* op, const Shape& result, const Array& out) {
  if (!(result == out.shape())) {
    fail<ShapeError>(op, fmt::format("the result has shape {}, which does not fit in place into {}", result.text(),
                                     out.shape().text()));
  }
  if (out.numel() == 0) return;
  for (int axis = 0; axis < out.rank(); ++axis) {
    if (out.size(axis) > 1 && out.strides()[axis] == 0) {
      fail<ShapeError>(op, fmt::format("{} repeats the same elements along axis {} (expand), so it cannot be changed "
                                       "in place; make it contiguous()",
                                       out.shape().text(), axis));
    }
  }
}

/// The operand itself, or a copy where writing `out` would change elements that are still to be read.
Array readable(const Array& operand, const Array& out) {
  if (!(operand.storage() == out.storage())) return operand;
  const bool same_places = operand.shape() == out.shape() && operand.strides() == out.strides() &&
                           operand.layout().offset == out.layout().offset;
  if (same_places) return operand;
  const Array copy(operand.shape(), operand.dtype(), operand.device());
  count_operations(copy.numel());
  operand.device().backend().copy(operand, copy);
  return copy;
}

}  // namespace

Array map(UnaryOp op, const Array& x, const Scalars& scalars) {
  check_floating(name(op), x);
  const Array out = Array::like(x);
  count_operations(out.numel());
  x.device().backend().unary(op, scalars, x, out);
  return out;
}

Array map_gradient(UnaryOp op, Array grad, const Array& saved, const Scalars& scalars) {
  const bool dense = grad.layout().is_dense(), reuse = dense && grad.storage().is_unique();
  // What is expanded (behind a mean) gives no layout: the images of the forward pass do.
  const Array out = reuse ? grad : Array::like(dense || !saved.defined() ? grad : saved, grad.dtype());
  count_operations(out.numel());
  grad.device().backend().unary_gradient(op, scalars, grad, saves(op) == Saves::nothing ? grad : saved, out);
  return out;
}

Array sign_bits(const Array& x) {
  check_floating("sign_bits", x);
  const Array bits(Shape{(x.numel() + 7) / 8}, DType::uint8, x.device());
  count_operations(x.numel());
  x.device().backend().sign_bits(x, bits);
  return bits;
}

Array keep_bits(Array x, const Array& bits, const Layout& layout) {
  x = with_strides(x, layout.strides);
  const Array out = x.storage().is_unique() ? x : Array::like(x);
  count_operations(out.numel());
  x.device().backend().keep_bits(x, bits, out);
  return out;
}

Array map(BinaryOp op, const Array& a, const Array& b) {
  return together(name(op), a, b, std::nullopt, [op](const Array& left, const Array& right, const Array& out) {
    out.device().backend().binary(op, left, right, out);
  });
}

Array compare(CompareOp op, const Array& a, const Array& b) {
  return together(name(op), a, b, DType::boolean, [op](const Array& left, const Array& right, const Array& out) {
    out.device().backend().compare(op, left, right, out);
  });
}

Array choose(const Array& condition, Array a, Array b) {
  check_same_device("where", condition, a);
  check_same_device("where", a, b);
  check_dtype("where", "the condition", condition, DType::boolean);
  const DType dtype = promote(a.dtype(), b.dtype());
  a = a.to(dtype), b = b.to(dtype);
  const Shape shape = broadcast(condition.shape(), broadcast(a.shape(), b.shape(), "where"), "where");
  Array out;
  for (const Array* x : {&a, &b}) {
    if (out.defined() || !(x->shape() == shape) || !x->layout().is_dense()) continue;
    out = x->storage().is_unique() ? *x : Array::like(*x);
  }
  if (!out.defined()) out = Array(shape, dtype, a.device());
  count_operations(out.numel());
  if (out.numel() > 0) a.device().backend().choose(condition.expand(shape), a.expand(shape), b.expand(shape), out);
  return out;
}

void map_into(UnaryOp op, const Array& x, const Array& out, const Scalars& scalars) {
  const char* caller = called(name(op));
  check_floating(caller, x);
  check_same_device(caller, x, out);
  check_target(caller, x.shape(), out);
  if (promote(x.dtype(), out.dtype()) != out.dtype()) {
    fail<DTypeError>(caller, fmt::format("{} {} does not fit in place into {}; cast it with to(x, DType::{})",
                                         name(x.dtype()), x.shape().text(), name(out.dtype()), name(out.dtype())));
  }
  count_operations(out.numel());
  x.device().backend().unary(op, scalars, readable(x, out), out);
  out.storage()->changed_in_place();
}

void map_into(BinaryOp op, const Array& a, const Array& b, const Array& out) {
  const char* caller = called(name(op));
  check_same_device(caller, a, b);
  check_same_device(caller, a, out);
  check_target(caller, broadcast(a.shape(), b.shape(), caller), out);
  if (promote(promote(a.dtype(), b.dtype()), out.dtype()) != out.dtype()) {
    fail<DTypeError>(
        caller, fmt::format("{} {} with {} {} does not fit in place into {}; cast the operand with to(x, DType::{})",
                            name(a.dtype()), a.shape().text(), name(b.dtype()), b.shape().text(), name(out.dtype()),
                            name(out.dtype())));
  }
  const Array left = readable(a.to(out.dtype()), out), right = readable(b.to(out.dtype()), out);
  count_operations(out.numel());
  out.device().backend().binary(op, left.expand(out.shape()), right.expand(out.shape()), out);
  out.storage()->changed_in_place();
}

void copy_into(const Array& from, const Array& to) {
  const char* caller = called("copy");
  check_same_device(caller, from, to);
  check_target(caller, broadcast(from.shape(), to.shape(), caller), to);
  count_operations(to.numel());
  to.device().backend().copy(readable(from, to).expand(to.shape()), to);
  to.storage()->changed_in_place();
}

void fill(const Array& out, double value) {
  check_defined(called("fill"), out);
  count_operations(out.numel());
  out.device().backend().fill(out, value);
  out.storage()->changed_in_place();
}

Array full(const Shape& shape, double value, DType dtype, const Device& device) {
  const Array out(shape, dtype, device);
  count_operations(out.numel());
  device.backend().fill(out, value);
  return out;
}

Array random(RandomCall call, const Shape& shape, DType dtype, const Device& device) {
  const bool normal = call.kind == RandomCall::Kind::normal, integer = call.kind == RandomCall::Kind::integer;
  if (normal ? !(call.high >= 0) : integer ? !(call.low < call.high) : !(call.low <= call.high)) {
    throw ConfigError(
        error_prefix("random") +
        (normal ? fmt::format("the standard deviation {} is negative", call.high)
                : fmt::format("no number lies between {} and {}: the first must be less", call.low, call.high)));
  }
  const Array out(shape, dtype, device);
  const RandomState state = take_random(shape.numel());
  call.seed = state.seed;
  call.offset = state.offset;
  if (const Capture* capture = Capture::current()) call.shift = capture->random_shift();
  count_operations(out.numel());
  device.backend().random(call, out);
  return out;
}

Array dropout(const DropoutCall& call, const Array& x) {
  check_floating("dropout", x);
  const Array source = x.contiguous();
  const Array out(x.shape(), x.dtype(), x.device());
  count_operations(out.numel());
  x.device().backend().dropout(call, source, out);
  return out;
}

Array dropout_next(DropoutCall& call, const Array& x) {
  check_floating("dropout", x);
  const Array source = x.contiguous();
  const Array out(x.shape(), x.dtype(), x.device());
  const RandomState state = take_random(x.numel());
  call.seed = state.seed;
  call.offset = state.offset;
  if (const Capture* capture = Capture::current()) call.shift = capture->random_shift();
  count_operations(out.numel());
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
      fail<ShapeError>(
          "concat", fmt::format("{} and {} differ outside axis {}", first.shape().text(), part.shape().text(), axis));
    }
    if (__builtin_add_overflow(total, part.size(axis), &total)) {
      fail<ShapeError>("concat", fmt::format("the size along axis {} overflows 64 bits, with parts like {}", axis,
                                             part.shape().text()));
    }
    dtype = promote(dtype, part.dtype());
  }
  const Array& largest = *std::max_element(parts.begin(), parts.end(),
                                           [](const Array& a, const Array& b) { return a.numel() < b.numel(); });
  const Array out = new_array(first.shape().with(axis, total), dtype, first.device(), layout_of(largest));
  std::int64_t at = 0;
  for (const Array& part : parts) {
    count_operations(part.numel());
    out.device().backend().copy(part, out.slice(axis, at, at + part.size(axis)));
    at += part.size(axis);
  }
  return out;
}

}  // namespace mnemo
