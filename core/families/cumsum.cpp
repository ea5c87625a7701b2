#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/work.h>

namespace mnemo {

Array cumsum(const Array& x, int axis, bool reverse) {
  check_defined("cumsum", x);
  axis = normalize_axis(axis, x.rank(), "cumsum");
  const Array source = (is_floating(x.dtype()) ? x : x.to(DType::int64)).contiguous(), out = Array::like(source);
  count_operations(x.numel());
  if (x.numel() > 0) x.device().backend().cumsum(source, axis, reverse, out);
  return out;
}

}  // namespace mnemo
