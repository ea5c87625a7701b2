// Gradient checkpointing: memory for computation. What a checkpointed function saves for backward is not kept but
// computed again when backward comes to it.
//
//   Tensor y = checkpoint([&](const Tensor& x) { return block(x); }, x);
#pragma once

#include <concepts>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <mnemo/autograd/region.h>

namespace mnemo {

/// `fn(std::span<const Tensor>)` of `inputs`, with whatever it returns. Only the inputs are kept for backward, and the
/// outputs of the operations in `options.keep`. When backward comes to it, `fn` runs once more up to the last thing
/// that backward needs, with the random numbers, device and modes of the first time; batch normalization does not count
/// that as another batch. Gradients are those of the plain run, bit for bit.
///
/// `fn` is copied and lives until then: what it refers to must live as long. It must do the same both times; where it
/// does not, backward() throws GradError with gradients as they were. Calls may be nested. Without recording it is just a
/// call. While one thread recomputes, no other one should take random numbers: the program has one stream.
template <class F>
requires std::invocable<F&, std::span<const Tensor>>
auto checkpoint(const CheckpointOptions& options, F fn, std::span<const Tensor> inputs) {
  if (!grad_enabled()) return fn(inputs);
  const auto shared = std::make_shared<F>(std::move(fn));
  const auto region = std::make_shared<Region>(
      options, inputs, [shared](std::span<const Tensor> again) { static_cast<void>((*shared)(again)); });
  const RegionScope scope(region.get());
  auto result = (*shared)(inputs);
  region->finish();
  return result;
}

/// The same of a function that takes its tensors one by one.
template <class F, std::same_as<Tensor>... Inputs>
requires std::invocable<F&, const Inputs&...>
auto checkpoint(const CheckpointOptions& options, F fn, const Inputs&... inputs) {
  const std::vector<Tensor> list{inputs...};
  return checkpoint(
      options,
      [fn = std::move(fn)](std::span<const Tensor> given) mutable {
        return [&]<std::size_t... i>(std::index_sequence<i...>) { return fn(given[i]...); }
        (std::index_sequence_for<Inputs...>());
      },
      std::span(list));
}

template <class F, std::same_as<Tensor>... Inputs>
requires std::invocable<F&, const Inputs&...>
auto checkpoint(F fn, const Inputs&... inputs) { return checkpoint(CheckpointOptions(), std::move(fn), inputs...); }

}  // namespace mnemo
