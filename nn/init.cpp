#include <mnemo/nn/init.h>

#include <algorithm>
#include <cmath>

#include <mnemo/core/families.h>

namespace mnemo::nn {

namespace {

/// What is allocated while it lives belongs to the model, and to no step.
class SetupScope {
 public:
  explicit SetupScope(memory::Category category) : category_(category) {}

 private:
  memory::PhaseScope phase_{memory::Phase::setup};
  memory::OpScope op_{"init"};
  memory::CategoryScope category_;
};

}  // namespace

Tensor uniform_parameter(const Shape& shape, double bound) {
  const SetupScope scope(memory::Category::parameter);
  return Tensor(random({.kind = RandomCall::Kind::uniform, .low = -bound, .high = bound}, shape), true);
}

Tensor normal_parameter(const Shape& shape, double deviation) {
  const SetupScope scope(memory::Category::parameter);
  return Tensor(random({.kind = RandomCall::Kind::normal, .low = 0, .high = deviation}, shape), true);
}

Tensor constant_parameter(const Shape& shape, double value) {
  const SetupScope scope(memory::Category::parameter);
  return Tensor(full(shape, value, DType::float32), true);
}

Tensor constant_buffer(const Shape& shape, double value) {
  const SetupScope scope(memory::Category::other);
  return Tensor(full(shape, value, DType::float32));
}

double kaiming_bound(std::int64_t fan_in) {
  return 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(fan_in, 1)));
}

}  // namespace mnemo::nn
