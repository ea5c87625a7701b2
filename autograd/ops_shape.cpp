#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>
#include <mnemo/core/families/rows.h>

namespace mnemo {

Tensor reshape(const Tensor& x, const Dims& shape) {
  const Operation operation("reshape");
  check_defined("reshape", x.array());
  return record({&x}, x.array().reshape(shape),
                [before = x.shape()](Backward& back) { back.give(0, back.grad().reshape(before)); });
}

Tensor flatten(const Tensor& x, int first_axis) {
  check_defined("flatten", x.array());
  const int first = normalize_axis(first_axis, x.rank(), "flatten");
  Dims sizes;
  std::int64_t rest = 1;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axis < first)
      sizes.push_back(x.size(axis));
    else
      rest *= x.size(axis);
  }
  sizes.push_back(rest);
  return reshape(x, sizes);
}

Tensor permute(const Tensor& x, const Dims& order) {
  const Operation operation("permute");
  check_defined("permute", x.array());
  return record({&x}, x.array().permute(order), [order](Backward& back) {
    Dims inverse = order;
    for (int axis = 0; axis < order.rank(); ++axis) inverse[static_cast<int>(order[axis])] = axis;
    back.give(0, back.grad().permute(inverse));
  });
}

Tensor transpose(const Tensor& x, int a, int b) {
  const Operation operation("transpose");
  check_defined("transpose", x.array());
  return record({&x}, x.array().transpose(a, b), [a, b](Backward& back) { back.give(0, back.grad().transpose(a, b)); });
}

Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
  const Operation operation("slice");
  check_defined("slice", x.array());
  return record(
      {&x}, x.array().slice(axis, begin, end, step),
      [part = Slice{x.shape(), axis, begin, end, step}](Backward& back) { back.give(0, back.take_grad(), part); });
}

Tensor select(const Tensor& x, int axis, std::int64_t index) {
  check_defined("select", x.array());
  axis = normalize_axis(axis, x.rank(), "select");
  const std::int64_t size = x.size(axis);
  if (index < -size || index >= size) {
    fail<ShapeError>("select", fmt::format("index {} is out of range for axis {} of {} (allowed: {} to {})", index,
                                           axis, x.shape().text(), -size, size - 1));
  }
  const std::int64_t place = index < 0 ? index + size : index;
  return squeeze(slice(x, axis, place, place + 1), axis);
}

Tensor expand(const Tensor& x, const Shape& shape) {
  const Operation operation("expand");
  check_defined("expand", x.array());
  return record({&x}, x.array().expand(shape),
                [before = x.shape()](Backward& back) { back.give(0, sum_to(back.grad(), before)); });
}

Tensor squeeze(const Tensor& x, int axis) {
  const Operation operation("squeeze");
  check_defined("squeeze", x.array());
  return record({&x}, x.array().squeeze(axis),
                [before = x.shape()](Backward& back) { back.give(0, back.grad().reshape(before)); });
}

Tensor unsqueeze(const Tensor& x, int axis) {
  const Operation operation("unsqueeze");
  check_defined("unsqueeze", x.array());
  return record({&x}, x.array().unsqueeze(axis),
                [before = x.shape()](Backward& back) { back.give(0, back.grad().reshape(before)); });
}

Tensor contiguous(const Tensor& x) {
  const Operation operation("contiguous");
  check_defined("contiguous", x.array());
  return record({&x}, x.array().contiguous(), [](Backward& back) { back.give(0, back.take_grad()); });
}

Tensor clone(const Tensor& x) {
  const Operation operation("clone");
  check_defined("clone", x.array());
  const Array y = Array::like(x.array());
  copy_into(x.array(), y);
  return record({&x}, y, [](Backward& back) { back.give(0, back.take_grad()); });
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  const Operation operation("concat");
  std::vector<Array> arrays;
  std::vector<std::int64_t> sizes;
  std::vector<DType> dtypes;
  NodeList nodes;
  bool any = false;
  for (const Tensor& part : parts) {
    arrays.push_back(part.array());
    any = any || needs_grad(part);
  }
  Array out = concat(arrays, axis);
  if (!any) return Tensor(std::move(out));
  const int along = normalize_axis(axis, out.rank(), "concat");
  for (const Tensor& part : parts) {
    part.check_current("concat");
    sizes.push_back(part.size(along));
    dtypes.push_back(part.dtype());
    nodes.push_back(part.edge());
  }
  auto closure = [along, sizes = std::move(sizes), dtypes = std::move(dtypes)](Backward& back) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      // A copy, not a view: a view would keep the whole gradient alive as long as any of its parts.
      const Array part = back.grad().slice(along, at, at + sizes[i]);
      at += sizes[i];
      if (!back.needs(i)) continue;
      const Array dx = new_array(part.shape(), dtypes[i], part.device(), layout_of(back.grad()));
      copy_into(part, dx);
      back.give(i, dx);
    }
  };
  return attach(std::make_shared<OpNode<decltype(closure)>>(std::move(closure)), std::move(nodes), std::move(out));
}

Tensor concat(std::initializer_list<Tensor> parts, int axis) {
  return concat(std::span(parts.begin(), parts.size()), axis);
}

Tensor to(const Tensor& x, DType dtype) {
  check_defined("to", x.array());
  if (x.dtype() == dtype) return x;
  const Operation operation("to");
  if (!is_floating(dtype)) return Tensor(x.array().to(dtype));
  return record({&x}, x.array().to(dtype),
                [before = x.dtype()](Backward& back) { back.give(0, back.grad().to(before)); });
}

Tensor to(const Tensor& x, const Device& device) {
  check_defined("to", x.array());
  if (x.device() == device) return x;
  const Operation operation("to");
  return record({&x}, x.array().to(device),
                [before = x.device()](Backward& back) { back.give(0, back.grad().to(before)); });
}

Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  const Operation operation("gather");
  Array y = gather(x.array(), axis, index.array());
  axis = normalize_axis(axis, x.rank(), "gather");
  return record({&x, &index}, std::move(y),
                [shape = x.shape(), axis, index = save_if(needs_grad(x), index.array())](Backward& back) {
                  back.give(0, add_elements(back.grad(), axis, index.get(), shape));
                });
}

}  // namespace mnemo
