// Recomputation of a result: memory for a little computation. What later operations would keep of it for backward is
// not kept but computed again from the inputs, which are kept anyway. Of use behind operations that are cheap and keep
// their input: an activation, a normalization of rows.
//
//   Tensor y = recompute([](const Tensor& x) { return gelu(x); }, linear(x, w));
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mnemo/autograd/saved.h>
#include <mnemo/autograd/stand_in.h>
#include <mnemo/autograd/surroundings.h>
#include <mnemo/autograd/tensor.h>

namespace mnemo {

using TensorFunction = std::function<Tensor(std::span<const Tensor>)>;

/// `fn` of the inputs, recorded as ever. When backward first reads the result, `fn` runs again, without recording, on
/// the inputs and with the random numbers, device, policies and autocast of the first time; batch normalization does
/// not count that as another batch. What it makes is there until the gradient of the result is complete. Everything
/// else on which `fn` depends and that may change until then (whether a layer trains, say, must not) belongs to the
/// inputs, which may be undefined: a change in place is found out and is a GradError. The result is kept after all
/// where it is an input or a view of one, where `fn` changes an input in place, where its last operation keeps the
/// result for its own gradient, inside a checkpointed region, and behind a chain of more than kMostDepth such results.
Tensor recompute(TensorFunction fn, std::vector<Tensor> inputs);

/// The same of a function that takes its tensors one by one.
template <class F, std::same_as<Tensor>... Inputs>
requires std::invocable<F&, const Inputs&...> Tensor recompute(F fn, const Inputs&... inputs) {
  return recompute(
      [fn = std::move(fn)](std::span<const Tensor> given) mutable -> Tensor {
        return [&]<std::size_t... i>(std::index_sequence<i...>) { return fn(given[i]...); }
        (std::index_sequence_for<Inputs...>());
      },
      {inputs...});
}

/// Stands for a result that `recompute` made.
class Recomputed final : public StandIn {
 public:
  Recomputed(TensorFunction fn, std::span<const Tensor> inputs, const Surroundings& then, const Array& result);
  bool is_current() const override;
  int depth() const override;
  /// Nobody reads the result any more.
  void forget() { result_ = {}; }

 private:
  StorageRef restore() override;

  TensorFunction fn_;
  std::vector<Saved> inputs_;  ///< undefined where an input is
  Surroundings then_;
  StorageRef result_;  ///< from the first reader to the last one
};

}  // namespace mnemo
