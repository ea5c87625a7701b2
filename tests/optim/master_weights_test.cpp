// Half parameters whose steps are taken in float32 copies.
#include <doctest/doctest.h>

#include <mnemo/autograd/grad_mode.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/families.h>

#include "optimizers.h"

using namespace optimizers;
using memory::Bytes;
using memory::Category;
using numbers::Generator;

namespace {

Rule with_master(Rule rule) {
  if (rule.sgd) rule.sgd->master_weights = true;
  if (rule.adam) rule.adam->master_weights = true;
  if (rule.adamw) rule.adamw->master_weights = true;
  return rule;
}

}  // namespace

TEST_CASE("master weights: after 20 steps a half parameter is what the rule in float64 gives, rounded once") {
  Generator random(2);
  for (const Rule& rule : all_rules()) {
    for (const DType dtype : {DType::float16, DType::bfloat16}) {
      CAPTURE(rule.name);
      CAPTURE(std::string(name(dtype)));
      const Shape shape{613};
      Tensor parameter = parameter_of(any_numbers(random, shape.numel()), shape, dtype);
      std::vector<Element> expected;
      for (const double value : parameter.values<double>()) expected.push_back({.value = value});
      const auto optimizer = with_master(rule).make({parameter});
      for (int step = 0; step < 20; ++step) {
        parameter.set_grad(parameter_of(any_numbers(random, shape.numel()), shape, dtype).detach());
        const auto gradient = parameter.grad().values<double>();
        for (std::size_t j = 0; j < gradient.size(); ++j) expected[j].step(rule, gradient[j], optimizer->lr());
        optimizer->step();
      }
      const auto values = parameter.values<double>();
      double worst = 0;  // in units of the last place's half
      for (std::size_t j = 0; j < values.size(); ++j) {
        const double float32_error = 100 * numbers::rounding(DType::float32);
        const double error = std::abs(values[j] - expected[j].value) - float32_error;
        worst = std::max(worst, error / (numbers::rounding(dtype) * std::max(std::abs(expected[j].value), 1e-3)));
      }
      CHECK(worst <= 1);
    }
  }
}

TEST_CASE("master weights: steps that are too short for bfloat16 add up") {
  // Below 1 its values lie 2^-8 apart: 1 - 0.0001 is rounded back to 1.
  for (const bool master : {false, true}) {
    Tensor parameter = parameter_of({1}, {1}, DType::bfloat16);
    SGD sgd({parameter}, {.lr = 1e-4, .master_weights = master});
    for (int step = 0; step < 100; ++step) {
      parameter.set_grad(parameter_of({1}, {1}, DType::bfloat16).detach());
      sgd.step();
    }
    CHECK(parameter.item() == doctest::Approx(master ? 0.9900 : 1).epsilon(master ? 1.0 / 512 : 1e-9));
  }
}

TEST_CASE(
    "master weights: 12 bytes of state per value for Adam, float32 parameters are left alone; virtual:cpu as cpu") {
  for (const char* where : {"cpu", "virtual:cpu"}) {
    CAPTURE(where);
    const Device device = Device::open(where);
    Tensor half(full(Shape{1024}, 1, DType::bfloat16, device), true);
    Tensor single(full(Shape{1024}, 1, DType::float32, device), true);
    for (Tensor* parameter : {&half, &single})
      parameter->set_grad(Tensor(full(Shape{1024}, 0.5, parameter->dtype(), device)));
    Adam adam({half, single}, {.master_weights = true});
    adam.step();
    const Bytes state = device.allocator().categories()[static_cast<std::size_t>(Category::optimizer_state)];
    CHECK(state == 1024 * 12 + 1024 * 8);
  }
}

TEST_CASE("master weights: a parameter that others change goes on from there") {
  Tensor parameter = parameter_of({1, 2}, {2}, DType::float16);
  SGD sgd({parameter}, {.lr = 0.25, .master_weights = true});
  const auto step = [&] {
    parameter.set_grad(parameter_of({1, 1}, {2}, DType::float16).detach());
    sgd.step();
    return parameter.values<double>();
  };
  CHECK(step() == std::vector<double>{0.75, 1.75});
  {
    const NoGradScope no_grad;
    fill_(parameter, 8);
  }
  CHECK(step() == std::vector<double>{7.75, 7.75});
  CHECK(step() == std::vector<double>{7.5, 7.5});
}

TEST_CASE("master weights: parameters that lie in one storage keep theirs") {
  const Array flat = full(Shape{2}, 1, DType::bfloat16, Device("cpu"));
  Tensor a(flat.slice(0, 0, 1), true), b(flat.slice(0, 1, 2), true);
  SGD sgd({a, b}, {.lr = 1e-4, .master_weights = true});
  for (int step = 0; step < 100; ++step) {
    for (Tensor* parameter : {&a, &b}) parameter->set_grad(parameter_of({1}, {1}, DType::bfloat16).detach());
    sgd.step();
  }
  for (const Tensor* parameter : {&a, &b}) CHECK(parameter->item() == doctest::Approx(0.99).epsilon(1.0 / 512));
}
