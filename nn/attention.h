// Attention with learned projections, and the block of a transformer around it.
#pragma once

#include <vector>

#include <mnemo/autograd/checkpoint_plan.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/norms.h>

namespace mnemo::nn {

struct MultiHeadAttentionOptions {
  std::int64_t features = 0;  ///< of the queries and of the result
  std::int64_t heads = 1;     ///< divide features
  std::int64_t context = 0;   ///< features of what is attended to, where that is something else; 0: the same
  bool bias = true;
  bool causal = false;  ///< a place is given those up to itself alone
  double dropout = 0;   ///< of the weights, while training
};
/// (N, L, features) -> the same: every place attends to all places, or to those of a context (N, S, context). Keeps the
/// input, under autocast in the half type, its projections and the heads' result, and not the weights (see
/// scaled_dot_product_attention).
struct MultiHeadAttention : Module<MultiHeadAttention> {
  MultiHeadAttentionOptions options;
  Linear query, key, value, out;

  /// Throws ShapeError unless heads divides features, both positive.
  explicit MultiHeadAttention(MultiHeadAttentionOptions layer_options);
  Tensor forward(const Tensor& x, const Tensor& mask = {}) { return forward(x, x, mask); }
  /// The mask broadcasts to (N, heads, L, S): one of the keys of each sample is (N, 1, 1, S).
  Tensor forward(const Tensor& x, const Tensor& context, const Tensor& mask);
  void visit(Visitor& v) { v.child("query", query), v.child("key", key), v.child("value", value), v.child("out", out); }

 private:
  /// (N, L, features) -> (N, heads, L, features / heads), a view
  Tensor by_heads(const Tensor& x) const;
};

struct TransformerBlockOptions {
  std::int64_t features = 0;
  std::int64_t heads = 1;
  std::int64_t hidden = 0;  ///< features between the two linear layers; 0: four times as many
  bool causal = false;
  double dropout = 0;  ///< of the attention's weights, and of what each half adds
};
/// (N, L, features) -> the same: x + attention(norm(x)), and to that linear(gelu(linear(norm(x)))) added, normalized
/// before each half (Xiong et al., On Layer Normalization in the Transformer Architecture, 2020). Keeps for each place
/// sixteen arrays of `features` with hidden = 4 * features; while the model works in place ten, as gelu's and the
/// normalizations' results are computed again.
struct TransformerBlock : Module<TransformerBlock> {
  LayerNorm attention_norm;
  MultiHeadAttention attention;
  LayerNorm feed_norm;
  Linear feed_in, feed_out;
  GELU activation;
  Dropout dropout;

  explicit TransformerBlock(TransformerBlockOptions options);
  Tensor forward(const Tensor& x, const Tensor& mask = {}) { return feed(attend(x, mask)); }
  /// The two halves.
  Tensor attend(const Tensor& x, const Tensor& mask = {});
  Tensor feed(const Tensor& x);
  /// Both, without a mask, for a plan of checkpoints.
  std::vector<Stage> stages();
  void visit(Visitor& v) {
    v.child("attention_norm", attention_norm), v.child("attention", attention), v.child("feed_norm", feed_norm);
    v.child("feed_in", feed_in), v.child("activation", activation), v.child("feed_out", feed_out);
    v.child("dropout", dropout);
  }

 private:
  /// What a normalization makes, which linear layers alone read: under autocast in their type, once for all of them.
  Tensor normalized(const LayerNorm& norm, const Tensor& x) const;
};

}  // namespace mnemo::nn
