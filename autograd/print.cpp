#include <mnemo/autograd/print.h>

#include <algorithm>
#include <ostream>

#include <fmt/format.h>

namespace mnemo {

namespace {

constexpr std::int64_t kMostElements = 1000;
constexpr std::int64_t kEdge = 3;

std::string number(double value, DType dtype) {
  if (dtype == DType::boolean) return value != 0 ? "true" : "false";
  return is_floating(dtype) ? fmt::format("{:.4g}", value) : fmt::format("{:.0f}", value);
}

/// int64 does not fit into a double.
template <class T>
std::string line(const Array& array) {
  std::string result;
  for (const T value : array.values<T>()) {
    if (!result.empty()) result += ", ";
    if constexpr (std::is_same_v<T, std::int64_t>)
      result += fmt::format("{}", value);
    else
      result += number(value, array.dtype());
  }
  return result;
}

std::string line(const Array& array) {
  return array.dtype() == DType::int64 ? line<std::int64_t>(array) : line<double>(array);
}

/// All of it, or the edges of each axis.
std::string nested(const Array& array, bool shortened, int depth) {
  if (array.rank() == 0) return line(array);
  const std::int64_t size = array.size(0);
  const bool cut = shortened && size > 2 * kEdge;
  if (array.rank() == 1) {
    if (!cut) return '[' + line(array) + ']';
    return '[' + line(array.slice(0, 0, kEdge)) + ", ..., " + line(array.slice(0, size - kEdge, size)) + ']';
  }
  const std::string between = "," + std::string(static_cast<std::size_t>(array.rank() - 1), '\n') +
                              std::string(static_cast<std::size_t>(depth) + 1, ' ');
  std::string result = "[";
  for (std::int64_t i = 0; i < size; ++i) {
    if (i > 0) result += between;
    if (cut && i == kEdge) {
      result += "..." + between;
      i = size - kEdge;
    }
    result += nested(array.slice(0, i, i + 1).squeeze(0), shortened, depth + 1);
  }
  return result + ']';
}

}  // namespace

std::string text(const Tensor& tensor) {
  if (!tensor.defined()) return "undefined tensor";
  const Array& array = tensor.array();
  const std::string kind = fmt::format("{} {} on {}", name(array.dtype()), array.shape().text(), array.device().name());
  if (array.device().is_virtual()) return kind;
  const std::string values = nested(array, array.numel() > kMostElements, 0);
  return values + (array.rank() > 1 ? "\n" : " ") + kind;
}

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor) { return stream << text(tensor); }

}  // namespace mnemo
