// Arithmetic of a tensor and a number: one pass where elements are floating-point; integers are computed as such.
#include <mnemo/autograd/number.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_unary.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/families.h>

namespace mnemo {

DType Number::dtype_with(DType x) const {
  const auto height = [](DType dtype) { return is_floating(dtype) ? 2 : dtype == DType::boolean ? 0 : 1; };
  return height(kind_) > height(x) ? kind_ : x;
}

Tensor Number::beside(const Tensor& x) const {
  const Operation operation("number");
  const DType dtype = dtype_with(x.dtype());
  const bool exact = kind_ != DType::int64 || (whole_ >= -(std::int64_t{1} << 53) && whole_ <= std::int64_t{1} << 53);
  if (exact) return Tensor(full(Shape{}, value_, dtype, x.device()));
  return Tensor(Array::from(std::vector<std::int64_t>{whole_}, Shape{}, x.device()).to(dtype));
}

Tensor operator-(const Tensor& x) { return is_floating(x.dtype()) ? unary(UnaryOp::neg, x) : 0 - x; }
Tensor operator+(const Tensor& a, Number b) {
  return is_floating(a.dtype()) ? unary(UnaryOp::affine, a, {1, b.value()}) : a + b.beside(a);
}
Tensor operator-(const Tensor& a, Number b) {
  return is_floating(a.dtype()) ? unary(UnaryOp::affine, a, {1, -b.value()}) : a - b.beside(a);
}
Tensor operator*(const Tensor& a, Number b) {
  return is_floating(a.dtype()) ? unary(UnaryOp::affine, a, {b.value(), 0}) : a * b.beside(a);
}
Tensor operator/(const Tensor& a, Number b) {
  return is_floating(a.dtype()) ? unary(UnaryOp::affine, a, {1 / b.value(), 0}) : a / b.beside(a);
}
Tensor operator+(Number a, const Tensor& b) { return b + a; }
Tensor operator-(Number a, const Tensor& b) {
  return is_floating(b.dtype()) ? unary(UnaryOp::affine, b, {-1, a.value()}) : a.beside(b) - b;
}
Tensor operator*(Number a, const Tensor& b) { return b * a; }
Tensor operator/(Number a, const Tensor& b) {
  return is_floating(b.dtype()) ? unary(UnaryOp::reciprocal, b, {a.value(), 0}) : a.beside(b) / b;
}

}  // namespace mnemo
