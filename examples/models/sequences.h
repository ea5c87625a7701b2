// Classifiers of sequences (N, 64, L): a transformer, and a recurrent network.
#pragma once

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// Blocks of attention (after Vaswani et al., 2017), learned positions, the mean over all places.
/// (N, 64, L) -> (N, 10), L up to 1024.
struct Transformer : nn::Module<Transformer> {
  static constexpr std::int64_t kFeatures = 128, kPlaces = 1024;
  nn::Linear embed{{.in = 64, .out = kFeatures}};
  Tensor positions;  // (kPlaces, kFeatures)
  nn::Sequential blocks;
  nn::LayerNorm norm{{.shape = {kFeatures}}};
  nn::Linear head{{.in = kFeatures, .out = 10}};

  Transformer();
  Tensor forward(const Tensor& x) { return classify(blocks(embedded(x))); }
  /// The halves of each block, between what comes before and behind them.
  std::vector<Stage> stages();
  void visit(nn::Visitor& v) {
    v.child("embed", embed), v.parameter("positions", positions), v.child("blocks", blocks);
    v.child("norm", norm), v.child("head", head);
  }

 private:
  Tensor embedded(const Tensor& x);  // (N, 64, L) -> (N, L, 128)
  Tensor classify(const Tensor& x) { return head(mean(norm(x), {1})); }
};

/// Two LSTM layers, of which the last place is classified. (N, 64, L) -> (N, 10)
struct RecurrentClassifier : nn::Module<RecurrentClassifier> {
  nn::LSTM first{{.in = 64, .hidden = 128}}, second{{.in = 128, .hidden = 128}};
  nn::Linear head{{.in = 128, .out = 10}};

  Tensor forward(const Tensor& x);
  void visit(nn::Visitor& v) { v.child("first", first), v.child("second", second), v.child("head", head); }
};

}  // namespace mnemo::models
