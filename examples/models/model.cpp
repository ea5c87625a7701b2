#include "models/model.h"

namespace mnemo::models {

std::vector<Tensor> Model::parameters() {
  std::vector<Tensor> tensors;
  for (nn::NamedTensor& named : named_parameters()) tensors.push_back(std::move(named.tensor));
  return tensors;
}

std::int64_t Model::parameter_count() {
  std::int64_t count = 0;
  for (const Tensor& tensor : parameters()) count += tensor.numel();
  return count;
}

}  // namespace mnemo::models
