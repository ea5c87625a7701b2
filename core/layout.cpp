#include <mnemo/core/layout.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <mnemo/core/error.h>

namespace mnemo {

bool Layout::is_contiguous() const {
  if (shape.numel() == 0) return true;
  std::int64_t expected = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    if (shape[axis] == 1) continue;
    if (strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

bool Layout::is_channels_last() const {
  if (shape.rank() < 3) return is_contiguous();
  if (shape.numel() == 0) return true;
  std::int64_t expected = 1;
  const auto follows = [&](int axis) {
    const bool fits = shape[axis] == 1 || strides[axis] == expected;
    expected *= shape[axis];
    return fits;
  };
  bool fits = follows(1);
  for (int axis = shape.rank() - 1; axis >= 2; --axis) fits = fits && follows(axis);
  return fits && follows(0);
}

int Layout::axes_by_stride(std::array<int, kMaxRank>& axes) const {
  int count = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    int at = count++;
    for (; at > 0 && strides[axes[static_cast<std::size_t>(at - 1)]] < strides[axis]; --at) {
      axes[static_cast<std::size_t>(at)] = axes[static_cast<std::size_t>(at - 1)];
    }
    axes[static_cast<std::size_t>(at)] = axis;
  }
  return count;
}

bool Layout::is_dense() const {
  if (is_contiguous()) return true;
  std::array<int, kMaxRank> axes{};
  std::int64_t expected = 1;
  for (int i = axes_by_stride(axes) - 1; i >= 0; --i) {
    const int axis = axes[static_cast<std::size_t>(i)];
    if (strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

Layout Layout::permute(const Dims& order) const {
  unsigned seen = 0;
  bool valid = order.rank() == shape.rank();
  for (int i = 0; valid && i < order.rank(); ++i) {
    valid = order[i] >= 0 && order[i] < shape.rank() && !(seen & (1u << order[i]));
    if (valid) seen |= 1u << order[i];
  }
  if (!valid) {
    fail<ShapeError>("permute", fmt::format("{} is not a permutation of the {} axes of {}", order.text(), shape.rank(),
                                            shape.text()));
  }
  Dims sizes = shape, steps = strides;
  for (int i = 0; i < order.rank(); ++i) {
    sizes[i] = shape[static_cast<int>(order[i])];
    steps[i] = strides[static_cast<int>(order[i])];
  }
  return {Shape(sizes), steps, offset};
}

Layout Layout::slice(int axis, std::int64_t begin, std::int64_t end, std::int64_t step) const {
  axis = normalize_axis(axis, shape.rank(), "slice");
  if (begin < 0 || end < begin || end > shape[axis] || step <= 0) {
    fail<ShapeError>("slice",
                     fmt::format("{}:{} with step {} does not lie in axis {} of {} (0 <= begin <= end <= {}, step > 0)",
                                 begin, end, step, axis, shape.text(), shape[axis]));
  }
  const std::int64_t size = (end - begin) / step + ((end - begin) % step != 0 ? 1 : 0);
  Layout result{shape.with(axis, size), strides, offset};
  if (result.shape.numel() > 0)
    result.offset += begin * strides[axis];  // of an empty view it could lie anywhere, even beyond 64 bits
  if (size > 1) result.strides[axis] = strides[axis] * step;  // a huge step over one element must not overflow
  return result;
}

Layout Layout::expand(const Shape& target) const {
  const int added = target.rank() - shape.rank();
  if (added < 0) {
    fail<ShapeError>("expand", fmt::format("{} has more dimensions than {}", shape.text(), target.text()));
  }
  Dims steps = target;
  for (int axis = 0; axis < target.rank(); ++axis) {
    const std::int64_t size = axis < added ? 1 : shape[axis - added];
    if (size != target[axis] && size != 1) {
      fail<ShapeError>("expand", fmt::format("{} does not expand to {}: size {} at axis {} must be {} or 1",
                                             shape.text(), target.text(), size, axis, target[axis]));
    }
    steps[axis] = axis < added || size != target[axis] ? 0 : strides[axis - added];
  }
  return {target, steps, offset};
}

Layout Layout::squeeze(int axis) const {
  axis = normalize_axis(axis, shape.rank(), "squeeze");
  if (shape[axis] != 1) {
    fail<ShapeError>("squeeze", fmt::format("axis {} of {} has size {}, not 1", axis, shape.text(), shape[axis]));
  }
  Dims sizes, steps;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i == axis) continue;
    sizes.push_back(shape[i]);
    steps.push_back(strides[i]);
  }
  return {Shape(sizes), steps, offset};
}

Layout Layout::unsqueeze(int axis) const {
  axis = normalize_axis(axis, shape.rank() + 1, "unsqueeze");
  Dims sizes, steps;
  for (int i = 0; i <= shape.rank(); ++i) {
    if (i == axis) {
      sizes.push_back(1);
      const bool before_one = i < shape.rank() && shape.numel() > 0;  // sizes beside a 0 may be too large to multiply
      steps.push_back(before_one ? strides[i] * shape[i] : 1);
    }
    if (i < shape.rank()) {
      sizes.push_back(shape[i]);
      steps.push_back(strides[i]);
    }
  }
  return {Shape(sizes), steps, offset};
}

std::optional<Layout> Layout::reshape(const Shape& target) const {
  if (is_contiguous()) return Layout{target, target.contiguous_strides(), offset};
  // Runs of old axes that step evenly act as one; each run must be cut exactly by new axes. Sizes 1 do not matter.
  Dims steps = target.contiguous_strides();
  int new_axis = target.rank() - 1;
  int old_axis = shape.rank() - 1;
  while (old_axis >= 0) {
    if (shape[old_axis] == 1) {
      --old_axis;
      continue;
    }
    const std::int64_t base = strides[old_axis];
    std::int64_t run = shape[old_axis];
    int next = old_axis - 1;
    while (next >= 0 && (shape[next] == 1 || strides[next] == run * base)) {
      run *= shape[next];
      --next;
    }
    std::int64_t taken = 1;
    while (new_axis >= 0 && taken < run) {
      steps[new_axis] = base * taken;
      taken *= target[new_axis];
      --new_axis;
    }
    if (taken != run) return std::nullopt;
    old_axis = next;
  }
  return Layout{target, steps, offset};
}

}  // namespace mnemo
