// Parts of a tensor: joined, taken apart, surrounded, and picked by number.
#include <algorithm>

#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>
#include <mnemo/core/families/rows.h>

namespace mnemo {

Tensor stack(std::span<const Tensor> parts, int axis) {
  const Operation operation("stack");
  if (parts.empty()) fail<ShapeError>("stack", "no parts given");
  std::vector<Tensor> layers;
  for (const Tensor& part : parts) {
    check_defined("stack", part.array());
    if (!(part.shape() == parts[0].shape())) {
      fail<ShapeError>("stack", fmt::format("{} and {} differ in shape; concat joins along an axis that is there",
                                            parts[0].shape().text(), part.shape().text()));
    }
    layers.push_back(unsqueeze(part, axis));
  }
  return concat(layers, axis);
}

Tensor stack(std::initializer_list<Tensor> parts, int axis) {
  return stack(std::span(parts.begin(), parts.size()), axis);
}

std::vector<Tensor> split(const Tensor& x, int axis, std::span<const std::int64_t> sizes) {
  check_defined("split", x.array());
  axis = normalize_axis(axis, x.rank(), "split");
  std::int64_t total = 0;
  bool good = true;
  for (const std::int64_t size : sizes) good = good && size >= 0 && !__builtin_add_overflow(total, size, &total);
  if (!good || total != x.size(axis)) {
    fail<ShapeError>("split", fmt::format("sizes ({}) do not add up to {}, the size of {} along axis {}",
                                          fmt::join(sizes, ", "), x.size(axis), x.shape().text(), axis));
  }
  std::vector<Tensor> parts;
  std::int64_t begin = 0;
  for (const std::int64_t size : sizes) {
    parts.push_back(slice(x, axis, begin, begin + size));
    begin += size;
  }
  return parts;
}

std::vector<Tensor> split(const Tensor& x, int axis, std::initializer_list<std::int64_t> sizes) {
  return split(x, axis, std::span(sizes.begin(), sizes.size()));
}

std::vector<Tensor> split(const Tensor& x, int axis, std::int64_t size) {
  check_defined("split", x.array());
  if (size < 1) fail<ShapeError>("split", fmt::format("parts of size {}: it must be at least 1", size));
  axis = normalize_axis(axis, x.rank(), "split");
  std::vector<std::int64_t> sizes;
  for (std::int64_t rest = x.size(axis); rest > 0; rest -= sizes.back()) sizes.push_back(std::min(rest, size));
  if (sizes.empty()) sizes.push_back(0);
  return split(x, axis, sizes);
}

std::vector<Tensor> chunk(const Tensor& x, int axis, std::int64_t count) {
  check_defined("chunk", x.array());
  if (count < 1) fail<ShapeError>("chunk", fmt::format("{} parts of {}: one is the least", count, x.shape().text()));
  const std::int64_t size = x.size(normalize_axis(axis, x.rank(), "chunk"));
  return split(x, axis, std::max<std::int64_t>(1, size / count + (size % count != 0 ? 1 : 0)));
}

Tensor pad(const Tensor& x, std::span<const Pad> pads, double value) {
  const Operation operation("pad");
  check_defined("pad", x.array());
  const int given = static_cast<int>(pads.size());
  if (given > x.rank())
    fail<ShapeError>("pad", fmt::format("{} axes are to be padded, {} has {}", given, x.shape().text(), x.rank()));
  Dims sizes = x.shape();
  for (int i = 0; i < given; ++i) {
    const auto& [before, after] = pads[static_cast<std::size_t>(i)];
    const int axis = x.rank() - given + i;
    if (before < 0 || after < 0) {
      fail<ShapeError>("pad", fmt::format("({}, {}) around axis {} of {} must not be negative; slice takes away",
                                          before, after, axis, x.shape().text()));
    }
    sizes[axis] = padded_size("pad", x.array(), padded_size("pad", x.array(), sizes[axis], before), after);
  }
  // The part of the result, or of its gradient, that is x.
  const auto inside = [first = x.rank() - given, pads = std::vector(pads.begin(), pads.end()),
                       shape = x.shape()](Array y) {
    for (std::size_t i = 0; i < pads.size(); ++i) {
      const int axis = first + static_cast<int>(i);
      y = y.slice(axis, pads[i].before, pads[i].before + shape[axis]);
    }
    return y;
  };
  const Array y = new_array(Shape(sizes), x.dtype(), x.device(), layout_of(x.array()));
  fill(y, value);
  copy_into(x.array(), inside(y));
  return record({&x}, y, [inside](Backward& back) {
    // A copy, not a view: a view would keep all of the gradient alive.
    const Array part = inside(back.grad());
    const Array dx = new_array(part.shape(), part.dtype(), part.device(), layout_of(back.grad()));
    copy_into(part, dx);
    back.give(0, dx);
  });
}

Tensor pad(const Tensor& x, std::initializer_list<Pad> pads, double value) {
  return pad(x, std::span(pads.begin(), pads.size()), value);
}

namespace {

/// REQUIRES: check_places of the index. `padding`: a row without a gradient.
Tensor rows_of(const char* op, const Tensor& x, const Tensor& index, std::optional<std::int64_t> padding = {}) {
  const Operation operation(op);
  Array y = take_rows(x.array(), index.array());
  return record({&x, &index}, std::move(y),
                [shape = x.shape(), padding, index = save_if(needs_grad(x), index.array())](Backward& back) {
                  const Array dx = add_rows(back.grad(), index.get(), shape);
                  if (padding) fill(dx.slice(0, *padding, *padding + 1), 0);
                  back.give(0, dx);
                });
}

/// One number for each slice along an axis.
void check_index(const char* op, const Array& x, int axis, const Array& index) {
  check_same_device(op, x, index);
  if (index.rank() != 1)
    fail<ShapeError>(op, fmt::format("index {} must have one dimension: flatten it", index.shape().text()));
  check_places(op, index, x.shape(), axis);
}

}  // namespace

Tensor index_select(const Tensor& x, int axis, const Tensor& index) {
  const Operation operation("index_select");
  check_defined("index_select", x.array());
  axis = normalize_axis(axis, x.rank(), "index_select");
  check_index("index_select", x.array(), axis, index.array());
  if (axis == 0) return rows_of("index_select", x, index);
  return transpose(rows_of("index_select", transpose(x, 0, axis), index), 0, axis);
}

Tensor index_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source) {
  constexpr const char* kOp = "index_add";
  const Operation operation(kOp);
  check_same_device(kOp, x.array(), source.array());
  axis = normalize_axis(axis, x.rank(), kOp);
  check_index(kOp, x.array(), axis, index.array());
  if (!(source.shape() == x.shape().with(axis, index.numel()))) {
    fail<ShapeError>(kOp, fmt::format("source {} for x {} and {} numbers must be {}: a slice along axis {} for each",
                                      source.shape().text(), x.shape().text(), index.numel(),
                                      x.shape().with(axis, index.numel()).text(), axis));
  }
  Array y = add_rows(source.array().transpose(0, axis), index.array(), x.array().transpose(0, axis));
  return record({&x, &source, &index}, y.transpose(0, axis),
                [axis, to_x = x.dtype(), to_source = source.dtype(),
                 index = save_if(needs_grad(source), index.array())](Backward& back) {
                  if (back.needs(1)) {
                    const Array rows = take_rows(back.grad().transpose(0, axis), index.get());
                    back.give(1, rows.transpose(0, axis).to(to_source));
                  }
                  if (back.needs(0)) back.give(0, back.take_grad().to(to_x));
                });
}

Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source) {
  const Operation operation("scatter_add");
  Array y = scatter_add(x.array(), axis, index.array(), source.array());
  return record({&x, &source, &index}, std::move(y),
                [axis = normalize_axis(axis, x.rank(), "scatter_add"), to_x = x.dtype(), to_source = source.dtype(),
                 index = save_if(needs_grad(source), index.array())](Backward& back) {
                  if (back.needs(1)) back.give(1, take_elements(back.grad(), axis, index.get()).to(to_source));
                  if (back.needs(0)) back.give(0, back.take_grad().to(to_x));
                });
}

Tensor flip(const Tensor& x, std::initializer_list<int> axes) {
  check_defined("flip", x.array());
  Tensor y = x;
  unsigned seen = 0;
  for (const int given : axes) {
    const int axis = normalize_axis(given, x.rank(), "flip");
    if (seen >> axis & 1u)
      fail<ShapeError>("flip", fmt::format("axis {} of {} is given twice", axis, x.shape().text()));
    seen |= 1u << axis;
    y = index_select(y, axis, x.size(axis) - 1 - arange(x.size(axis), x.device()));
  }
  return y;
}

Tensor embedding(const Tensor& weight, const Tensor& indices, std::optional<std::int64_t> padding) {
  const Operation operation("embedding");
  check_same_device("embedding", weight.array(), indices.array());
  if (weight.rank() != 2)
    fail<ShapeError>("embedding", fmt::format("weight {} must be (count, features)", weight.shape().text()));
  const std::int64_t count = weight.size(0);
  if (padding && (*padding < -count || *padding >= count)) {
    fail<ShapeError>("embedding", fmt::format("padding {} is no row of weight {} (allowed: {} to {})", *padding,
                                              weight.shape().text(), -count, count - 1));
  }
  check_places("embedding", indices.array(), weight.shape(), 0);
  if (padding && *padding < 0) *padding += count;
  Dims sizes = indices.shape();
  sizes.push_back(weight.size(1));
  return reshape(rows_of("embedding", weight, reshape(indices, {indices.numel()}), padding), sizes);
}

}  // namespace mnemo
