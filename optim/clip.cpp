#include <mnemo/optim/clip.h>

#include <vector>

#include <fmt/format.h>

#include <mnemo/autograd/grad_mode.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/tag.h>
#include <mnemo/optim/step_in_backward.h>

namespace mnemo::optim {

namespace {

std::vector<Array> gradients_of(const char* op, std::span<const Tensor> parameters) {
  std::vector<Array> gradients;
  for (const Tensor& parameter : parameters) {
    check_kept_gradient(op, parameter);
    if (!parameter.grad().defined()) continue;
    gradients.push_back(parameter.grad().array());
    if (gradients.back().device() == gradients.front().device()) continue;
    fail<DeviceError>(op, fmt::format("gradients lie on {} and {}; clip those of each device by themselves",
                                      gradients.front().device().name(), gradients.back().device().name()));
  }
  return gradients;
}

Array norm_of(const std::vector<Array>& gradients, double norm_type) {
  if (gradients.empty()) return full(Shape{}, 0, DType::float32);
  const Array out(Shape{}, DType::float32, gradients.front().device());
  std::vector<Array> dense = gradients;
  for (Array& gradient : dense) {
    if (!gradient.layout().is_dense()) gradient = gradient.contiguous();
  }
  out.device().backend().norm(dense, norm_type, out);
  return out;
}

void check_norm_type(const char* op, double norm_type) {
  if (!(norm_type > 0)) throw ConfigError(fmt::format("[{}] norm_type is {}, it must be positive", op, norm_type));
}

}  // namespace

Tensor grad_norm(std::span<const Tensor> parameters, double norm_type) {
  check_norm_type("grad_norm", norm_type);
  const memory::OpScope op("grad_norm");
  const memory::CategoryScope category(memory::Category::temporary);
  return Tensor(norm_of(gradients_of("grad_norm", parameters), norm_type));
}

Tensor clip_grad_norm(std::span<const Tensor> parameters, double max_norm, double norm_type) {
  check_norm_type("clip_grad_norm", norm_type);
  if (!(max_norm >= 0)) {
    throw ConfigError(fmt::format("[clip_grad_norm] max_norm is {}, it must not be negative", max_norm));
  }
  const memory::PhaseScope phase(memory::Phase::optimizer);
  const memory::OpScope op("clip_grad_norm");
  const memory::CategoryScope category(memory::Category::temporary);
  std::vector<Array> gradients = gradients_of("clip_grad_norm", parameters);
  const Array norm = norm_of(gradients, norm_type);
  const Array share = map(UnaryOp::reciprocal, map(UnaryOp::affine, norm, {1, 1e-6}), {max_norm, 0});
  const Array factor = map(UnaryOp::clamp, share, {0, 1});
  for (const Tensor& parameter : parameters) {
    Array gradient = parameter.grad().array();
    if (!gradient.defined()) continue;
    if (!gradient.layout().is_dense()) parameter.node()->grad = gradient = gradient.contiguous();
    map_into(BinaryOp::multiply, gradient, factor.to(gradient.dtype()), gradient);
  }
  return Tensor(norm);
}

}  // namespace mnemo::optim
