#include <mnemo/autograd/recompute.h>

#include <algorithm>
#include <iterator>

#include <mnemo/autograd/grad_mode.h>
#include <mnemo/autograd/normalized.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

Recomputed::Recomputed(TensorFunction fn, std::span<const Tensor> inputs, const Surroundings& then, const Array& result)
    : fn_(std::move(fn)), then_(then) {
  for (const Tensor& input : inputs) inputs_.push_back(save_if(true, input.array()));
  version = result.storage()->version();
}

StorageRef Recomputed::restore() {
  if (result_) return result_;
  const memory::OpScope op("recompute");
  const RecomputingScope recomputing;
  const NoGradScope no_grad;
  const RegionScope outside(nullptr);
  std::vector<Tensor> inputs;
  for (const Saved& saved : inputs_) inputs.emplace_back(saved.defined() ? Tensor(saved.get()) : Tensor());
  const memory::Category category = memory::current_tag().category;
  const SurroundingsScope surroundings(then_);
  const memory::CategoryScope reader(category);  // what is made is the reader's
  result_ = fn_(inputs).array().storage();
  return result_;
}

bool Recomputed::is_current() const {
  return std::all_of(inputs_.begin(), inputs_.end(),
                     [](const Saved& saved) { return !saved.defined() || saved.is_current(); });
}

int Recomputed::depth() const {
  int most = 0;
  for (const Saved& saved : inputs_) most = std::max(most, saved.depth());
  return 1 + most;
}

Tensor recompute(TensorFunction fn, std::vector<Tensor> inputs) {
  const auto version = [](const Tensor& x) { return x.defined() ? x.array().storage()->version() : 0; };
  std::vector<std::uint32_t> versions;
  std::transform(inputs.begin(), inputs.end(), std::back_inserter(versions), version);
  const Surroundings then;
  Tensor y = fn(inputs);
  const bool recorded = std::any_of(inputs.begin(), inputs.end(), [](const Tensor& x) { return needs_grad(x); });
  const Region* region = Region::current();
  if (!recorded || (region != nullptr && !region->is_finished()) || !y.defined()) return y;
  const StorageRef& storage = y.array().storage();
  if (storage->is_held_for_backward()) return y;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined() && inputs[i].array().storage() == storage) return y;
    if (version(inputs[i]) != versions[i]) return y;  // what it was made from is gone
  }
  const RegionScope outside(nullptr);  // a region that runs again does not count this, as it did not the first time
  auto made = std::make_shared<Recomputed>(std::move(fn), inputs, then, y.array());
  if (made->depth() > kMostDepth) return y;
  storage->set_stand_in(made);
  // Backward comes here when everything that reads the result is done.
  const Operation operation("recompute");
  return record({&y}, y.array(), [made = std::move(made)](Backward& back) {
    made->forget();
    back.give(0, back.take_grad());
  });
}

}  // namespace mnemo
