#include "random_program.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/recompute.h>

namespace programs {

using namespace mnemo;

std::int64_t Program::any(std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(at_.choices() % static_cast<std::uint64_t>(high - low + 1));
}

Tensor Program::numbers(const Shape& shape, std::uint64_t number, double scale, double shift) const {
  std::mt19937_64 bits(options_.seed * 1000 + number);
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = shift + scale * (static_cast<double>(bits() >> 11) * 0x1p-51 - 2);  // -2 to 2
  return to(tensor(values, shape, device_), options_.dtype);
}

Tensor Program::parameter(const Shape& shape, double scale, double shift) {
  if (at_.parameter == parameters_.size())
    parameters_.push_back(numbers(shape, at_.parameter + 1, scale, shift).set_requires_grad(true));
  return parameters_[at_.parameter++];
}

Tensor Program::buffer(std::int64_t channels, double value) {
  const DType dtype = is_half(options_.dtype) ? DType::float32 : options_.dtype;
  if (at_.buffer == buffers_.size()) buffers_.push_back(full({channels}, value, {.dtype = dtype, .device = device_}));
  return buffers_[at_.buffer++];
}

Tensor Program::pick_like(const Tensor& x) {
  std::vector<Tensor> fitting{x};
  for (const Tensor& other : pool_) {
    if (other.shape() == x.shape()) fitting.push_back(other);
  }
  return fitting[static_cast<std::size_t>(any(0, static_cast<std::int64_t>(fitting.size()) - 1))];
}

Tensor Program::input() {
  at_.choices.seed(options_.seed);
  const int rank = static_cast<int>(any(2, 5));
  Dims sizes{any(1, 4), any(1, 6)};
  for (int axis = 2; axis < rank; ++axis) sizes.push_back(any(3, rank == 3 ? 20 : 11 - rank));
  return numbers(Shape(sizes), 0, 1, 0);
}

Tensor Program::forward(const Tensor& input) {
  at_ = {};
  at_.choices.seed(options_.seed * 31 + 7);
  pool_ = {input};
  after("input");
  pool_.push_back(input * parameter(input.shape(), 1));
  if (options_.autocast) {
    const AutocastScope scope(options_.seed % 2 == 0 ? DType::float16 : DType::bfloat16);
    run(options_.operations);
  } else {
    run(options_.operations);
  }
  Tensor loss = mean(to(pool_[1], options_.dtype == DType::float64 ? DType::float64 : DType::float32));
  for (const Tensor& result : pool_) {
    const Tensor x = to(result, loss.dtype());
    loss = loss + mean(x * x) + mean(sin(x));
  }
  pool_.clear();
  after("loss");
  return loss;
}

void Program::run(int count) {
  for (int i = 0; i < count; ++i) {
    std::string name = "group";
    Tensor y = at_.depth < 2 && chance(options_.grouped) ? group() : operation(name);
    if (y.defined() && y.numel() > 0) pool_.push_back(std::move(y));
    if (at_.depth == 0) after(name);
    if (pool_.size() > 6 && chance(50)) pool_.erase(pool_.begin() + any(2, 4));
  }
}

Tensor Program::group() {
  const auto body = [this, start = at_, count = static_cast<int>(any(2, 5))](std::span<const Tensor> inputs) {
    // It may be run again in backward, where the program is elsewhere.
    auto pool = std::exchange(pool_, std::vector<Tensor>(inputs.begin(), inputs.end()));
    const Position before = std::exchange(at_, start);
    ++at_.depth;
    struct Return {
      Program& program;
      std::vector<Tensor>& pool;
      const Position& position;
      ~Return() { program.pool_ = std::move(pool), program.at_ = position; }
    } const back{*this, pool, before};
    run(count);
    end_ = at_;
    return pool_.back();
  };
  const std::vector<Tensor> inputs = pool_;
  const bool inner = (options_.seed + static_cast<std::uint64_t>(at_.depth)) % 2 == 0;
  const bool checkpointed = options_.checkpointed && (!options_.recomputed || inner);
  Tensor y = checkpointed          ? checkpoint(CheckpointOptions(), body, inputs)
             : options_.recomputed ? recompute(body, inputs)
                                   : body(inputs);
  end_.depth = at_.depth;
  at_ = end_;
  return y;
}

Tensor Program::operation(std::string& name) {
  const Tensor x = pick();
  const bool is_image = x.rank() >= 3 && x.rank() <= 5;
  const std::pair<const char*, Tensor (Program::*)(const Tensor&)> kinds[] = {
      {"convolve", is_image ? &Program::convolve : &Program::multiply},
      {"convolve", is_image ? &Program::convolve : &Program::map},
      {"pool", is_image ? &Program::pool : &Program::map},
      {"normalize", x.rank() >= 2 ? &Program::normalize : &Program::map},
      {"multiply", &Program::multiply},
      {"reshape", &Program::reshape},
      {"combine", &Program::combine},
      {"map", &Program::map},
  };
  const auto& [kind, run] = kinds[any(0, static_cast<std::int64_t>(std::size(kinds)) - 1)];
  name = kind;
  return (this->*run)(x);
}

}  // namespace programs
