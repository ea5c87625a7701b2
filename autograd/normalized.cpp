#include <mnemo/autograd/normalized.h>

#include <algorithm>

#include <mnemo/autograd/region.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

Normalized::Normalized(const char* op, const NormalizeCall& call)
    : op_(op),
      call_(call),
      inputs_{.x = save_if(true, call.x),
              .residual = save_if(true, call.residual),
              .weight = save_if(true, call.weight),
              .bias = save_if(true, call.bias),
              .mean = save_if(true, call.mean),
              .inverse_deviation = save_if(true, call.inverse_deviation)},
      has_residual_(call.residual.defined()) {
  call_.given = true;
  for (Array* array : {&call_.x, &call_.weight, &call_.bias, &call_.residual, &call_.running_mean,
                       &call_.running_variance, &call_.y, &call_.mean, &call_.inverse_deviation})
    *array = {};
  version = call.y.storage()->version();
}

std::shared_ptr<Normalized> Normalized::stand_for(const char* op, const NormalizeCall& call) {
  if (const Region* region = Region::current(); region != nullptr && !region->is_finished()) return nullptr;
  const RegionScope outside(nullptr);  // not one of the places of a region that runs again
  auto made = std::make_shared<Normalized>(op, call);
  if (made->depth() > kMostDepth) return nullptr;
  call.y.storage()->set_stand_in(made);
  return made;
}

StorageRef Normalized::restore() {
  if (result_) return result_;
  const memory::OpScope op(op_);
  NormalizeCall call = call_;
  call.x = inputs_.x.get();
  if (has_residual_) call.residual = inputs_.residual.get();
  if (inputs_.weight.defined()) call.weight = inputs_.weight.get();
  if (inputs_.bias.defined()) call.bias = inputs_.bias.get();
  call.mean = inputs_.mean.get();
  call.inverse_deviation = inputs_.inverse_deviation.get();
  normalize(call);
  if (has_residual_) {
    result_ = call.y.storage();
    inputs_ = {};  // what they restored may go
  }
  return call.y.storage();
}

bool Normalized::is_current() const {
  const auto current = [](const Saved& saved) { return !saved.defined() || saved.is_current(); };
  return current(inputs_.x) && current(inputs_.residual) && current(inputs_.weight) && current(inputs_.bias);
}

int Normalized::depth() const { return 1 + std::max(inputs_.x.depth(), inputs_.residual.depth()); }

}  // namespace mnemo
