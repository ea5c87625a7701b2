// Plain: row-major float64 numbers with sizes, for references that are written with loops and share nothing with the
// library.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace rows {

using Index = std::vector<std::int64_t>;

struct Plain {
  Index sizes;
  std::vector<double> values;

  Plain() = default;
  explicit Plain(Index shape) : sizes(std::move(shape)), values(static_cast<std::size_t>(count(sizes))) {}
  Plain(Index shape, std::vector<double> numbers) : sizes(std::move(shape)), values(std::move(numbers)) {}

  static std::int64_t count(const Index& sizes) {
    std::int64_t product = 1;
    for (std::int64_t size : sizes) product *= size;
    return product;
  }
  std::int64_t numel() const { return static_cast<std::int64_t>(values.size()); }
  int rank() const { return static_cast<int>(sizes.size()); }
  std::int64_t size(int axis) const { return sizes[static_cast<std::size_t>(axis < 0 ? axis + rank() : axis)]; }

  double& at(const Index& index) { return values[place(index)]; }
  double at(const Index& index) const { return values[place(index)]; }
  /// The element where the index is broadcast: trailing axes align, sizes 1 repeat.
  double broadcast_at(const Index& index) const {
    Index own(sizes.size());
    const std::size_t skip = index.size() - sizes.size();
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = sizes[i] == 1 ? 0 : index[i + skip];
    return at(own);
  }

 private:
  std::size_t place(const Index& index) const {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) at = at * sizes[i] + index[i];
    return static_cast<std::size_t>(at);
  }
};

/// Calls `body` with every index of `sizes`, in row-major order.
inline void for_each(const Index& sizes, const std::function<void(const Index&)>& body) {
  const std::int64_t count = Plain::count(sizes);
  Index index(sizes.size(), 0);
  for (std::int64_t i = 0; i < count; ++i) {
    body(index);
    for (std::size_t axis = sizes.size(); axis-- > 0;) {
      if (++index[axis] < sizes[axis]) break;
      index[axis] = 0;
    }
  }
}

/// A result of these sizes, with a function of every index.
inline Plain filled(const Index& sizes, const std::function<double(const Index&)>& value) {
  Plain result(sizes);
  for_each(sizes, [&](const Index& index) { result.at(index) = value(index); });
  return result;
}

inline Plain mapped(const Plain& x, const std::function<double(double)>& f) {
  Plain result(x.sizes);
  for (std::size_t i = 0; i < x.values.size(); ++i) result.values[i] = f(x.values[i]);
  return result;
}

inline Index broadcast_sizes(const Index& a, const Index& b) {
  Index sizes(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::int64_t from_a = i < a.size() ? a[a.size() - 1 - i] : 1, from_b = i < b.size() ? b[b.size() - 1 - i] : 1;
    sizes[sizes.size() - 1 - i] = from_a == 1 ? from_b : from_a;
  }
  return sizes;
}

inline Plain mapped(const Plain& a, const Plain& b, const std::function<double(double, double)>& f) {
  return filled(broadcast_sizes(a.sizes, b.sizes),
                [&](const Index& index) { return f(a.broadcast_at(index), b.broadcast_at(index)); });
}

}  // namespace rows
