#include "fused_normalize.h"

TEST_CASE("normalize: with a residual and relu, and again from given statistics: the bits of one operation at a time") {
  fused::check_all("cpu", true);
}
