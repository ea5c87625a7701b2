// Averages over windows whose number is given: a pooling where they are equal, else axis by axis and window by window,
// since a window is a box. Between axes half types are rounded.
#include <fmt/format.h>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/layout.h>

namespace mnemo {

namespace {

/// The windows of one axis.
struct Windows {
  int axis;
  std::int64_t in, out;

  std::int64_t begin(std::int64_t i) const { return i * in / out; }
  std::int64_t end(std::int64_t i) const { return ((i + 1) * in + out - 1) / out; }
  double share(std::int64_t i) const { return 1.0 / static_cast<double>(end(i) - begin(i)); }

  Array averages(const Array& x) const {
    const Array y = new_array(x.shape().with(axis, out), x.dtype(), x.device(), layout_of(x));
    for (std::int64_t i = 0; i < out; ++i) {
      const Array window = x.slice(axis, begin(i), end(i));
      copy_into(reduce(ReduceOp::sum, window, 1u << axis, true, share(i)), y.slice(axis, i, i + 1));
    }
    return y;
  }
  /// To every element its share of the windows that it is in.
  Array gradient(const Array& grad) const {
    const Array dx = new_array(grad.shape().with(axis, in), grad.dtype(), grad.device(), layout_of(grad));
    fill(dx, 0);
    for (std::int64_t i = 0; i < out; ++i) {
      const Array window = dx.slice(axis, begin(i), end(i));
      map_into(BinaryOp::add, window, map(UnaryOp::affine, grad.slice(axis, i, i + 1), {share(i), 0}), window);
    }
    return dx;
  }
};

Tensor mean_of_all(const Tensor& x, int rank) {
  return rank == 1 ? mean(x, {-1}, true) : rank == 2 ? mean(x, {-2, -1}, true) : mean(x, {-3, -2, -1}, true);
}

Tensor adaptive(const char* op, const Tensor& x, const Extent& out, int rank,
                Tensor (*pool)(const Tensor&, const PoolOptions&)) {
  const Operation operation(op);
  check_floating(op, x.array());
  check_extent(op, "output size", out, rank, 1);
  bool good = x.rank() == rank + 1 || x.rank() == rank + 2;
  for (int d = 1; good && d <= rank; ++d) good = x.size(-d) > 0;
  if (!good) {
    fail<ShapeError>(op, fmt::format("input {} must be (N, C, {} sizes) or (C, {} sizes), each size at least 1",
                                     x.shape().text(), rank, rank));
  }
  std::vector<Windows> axes;
  std::int64_t kernel[3] = {1, 1, 1};
  bool single = true, equal = true;
  for (int d = 0; d < rank; ++d) {
    const Windows windows{x.rank() - rank + d, x.size(x.rank() - rank + d), out[d]};
    kernel[d] = windows.in / windows.out;
    single = single && windows.out == 1;
    equal = equal && windows.in % windows.out == 0;
    if (windows.in != windows.out) axes.push_back(windows);
  }
  if (single) return mean_of_all(x, rank);
  if (equal) {
    const Extent size = rank == 1   ? Extent{kernel[0]}
                        : rank == 2 ? Extent{kernel[0], kernel[1]}
                                    : Extent{kernel[0], kernel[1], kernel[2]};
    return pool(x, {.kernel = size, .stride = size});
  }
  Array y = x.array();
  for (const Windows& windows : axes) y = windows.averages(y);
  return record({&x}, std::move(y), [axes](Backward& back) {
    Array g = back.take_grad();
    for (auto windows = axes.rbegin(); windows != axes.rend(); ++windows) g = windows->gradient(g);
    back.give(0, std::move(g));
  });
}

}  // namespace

Tensor adaptive_avg_pool1d(const Tensor& x, const Extent& out) {
  return adaptive("adaptive_avg_pool1d", x, out, 1, avg_pool1d);
}
Tensor adaptive_avg_pool2d(const Tensor& x, const Extent& out) {
  return adaptive("adaptive_avg_pool2d", x, out, 2, avg_pool2d);
}
Tensor adaptive_avg_pool3d(const Tensor& x, const Extent& out) {
  return adaptive("adaptive_avg_pool3d", x, out, 3, avg_pool3d);
}

}  // namespace mnemo
