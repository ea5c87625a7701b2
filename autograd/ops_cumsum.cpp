#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/families.h>

namespace mnemo {

Tensor cumsum(const Tensor& x, int axis) {
  if (const OperandCast cast("cumsum", {&x}); cast) return cumsum(cast(x), axis);
  const Operation operation("cumsum");
  return record({&x}, cumsum(x.array(), axis),
                [axis](Backward& back) { back.give(0, cumsum(back.grad(), axis, true)); });
}

}  // namespace mnemo
