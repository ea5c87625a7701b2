// A training step of a model as a transaction: see autograd/transaction.h.
#pragma once

#include <mnemo/autograd/transaction.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

/// Everything of `model` that a step changes before its optimizer does: its parameters' gradients, and its buffers.
/// Throws OutOfMemory when there is no room for a copy of the buffers.
template <class Model>
[[nodiscard]] Transaction transaction(Model& model) {
  Collector collector;
  collector.run(model);
  std::vector<Tensor> parameters, buffers;
  for (NamedTensor& named : collector.parameters) parameters.push_back(std::move(named.tensor));
  for (NamedTensor& named : collector.buffers) buffers.push_back(std::move(named.tensor));
  return Transaction(parameters, buffers);
}

}  // namespace mnemo::nn
