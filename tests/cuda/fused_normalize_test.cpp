#include "core/fused_normalize.h"

#include "cuda_device.h"

TEST_CASE("cuda: normalize with a residual and relu, and from given statistics: the bits of one operation at a time") {
  if (cuda_device()) fused::check_all(*cuda_device(), true);
}
