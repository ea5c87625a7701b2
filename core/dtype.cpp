#include <mnemo/core/dtype.h>

#include <fmt/format.h>

#include <mnemo/core/error.h>

namespace mnemo {

const char* name(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return "float64";
    case DType::float32:
      return "float32";
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
    case DType::int64:
      return "int64";
    case DType::int32:
      return "int32";
    case DType::uint8:
      return "uint8";
    case DType::boolean:
      break;
  }
  return "bool";
}

DType parse_dtype(std::string_view text) {
  std::string names;
  for (DType dtype : kDTypes) {
    if (text == name(dtype)) return dtype;
    names += names.empty() ? name(dtype) : fmt::format(", {}", name(dtype));
  }
  throw DTypeError(fmt::format("unknown dtype \"{}\"; the dtypes are {}", text, names));
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  const auto rank = [](DType dtype) { return dtype == DType::boolean ? 0 : is_floating(dtype) ? 2 : 1; };
  if (rank(a) != rank(b)) return rank(a) > rank(b) ? a : b;
  if (is_half(a) && is_half(b)) return DType::float32;
  return size_of(a) > size_of(b) ? a : b;
}

}  // namespace mnemo
