#include "models/sequences.h"

namespace mnemo::models {

Transformer::Transformer() : positions(nn::normal_parameter({kPlaces, kFeatures}, 0.02)) {
  for (int i = 0; i < 4; ++i) blocks.add(nn::TransformerBlock({.features = kFeatures, .heads = 4}));
}

Tensor Transformer::embedded(const Tensor& x) { return embed(transpose(x, 1, 2)) + slice(positions, 0, 0, x.size(2)); }

std::vector<Stage> Transformer::stages() {
  std::vector<Stage> list{make_stage("embed", [this](const Tensor& x) { return embedded(x); })};
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    for (Stage& stage : blocks.layer(i).stages()) list.push_back(std::move(stage));
  }
  list.push_back(make_stage("head", [this](const Tensor& x) { return classify(x); }));
  return list;
}

Tensor RecurrentClassifier::forward(const Tensor& x) {
  const Tensor y = first(contiguous(transpose(x, 1, 2)));  // (N, L, 128)
  return head(second(y, nn::LSTM::State{}).state.h);
}

}  // namespace mnemo::models
