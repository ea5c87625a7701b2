#include <mnemo/nn/attention.h>

#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/recompute.h>
#include <mnemo/core/error.h>

namespace mnemo::nn {

namespace {

MultiHeadAttentionOptions checked(MultiHeadAttentionOptions options) {
  if (options.features < 1 || options.heads < 1 || options.features % options.heads != 0) {
    fail<ShapeError>("MultiHeadAttention",
                     fmt::format("heads {} must divide features {}, both positive", options.heads, options.features));
  }
  if (options.context < 0)
    fail<ShapeError>("MultiHeadAttention", fmt::format("context is {}, it must not be negative", options.context));
  if (options.context == 0) options.context = options.features;
  return options;
}

TransformerBlockOptions checked(TransformerBlockOptions options) {
  if (options.features < 1 || options.hidden < 0) {
    fail<ShapeError>("TransformerBlock", fmt::format("features {} must be positive, and hidden {} not negative",
                                                     options.features, options.hidden));
  }
  if (options.hidden == 0) options.hidden = 4 * options.features;
  return options;
}

/// What several linear layers read, in the type in which they compute: cast once, where each would cast for itself.
Tensor for_products(const Tensor& x) {
  const AutocastState autocast = current_autocast();
  return autocast.enabled && x.dtype() == DType::float32 ? to(x, autocast.dtype) : x;
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(MultiHeadAttentionOptions layer_options)
    : options(checked(layer_options)),
      query({.in = options.features, .out = options.features, .bias = options.bias}),
      key({.in = options.context, .out = options.features, .bias = options.bias}),
      value({.in = options.context, .out = options.features, .bias = options.bias}),
      out({.in = options.features, .out = options.features, .bias = options.bias}) {}

Tensor MultiHeadAttention::by_heads(const Tensor& x) const {
  return transpose(reshape(x, {x.size(0), x.size(1), options.heads, options.features / options.heads}), 1, 2);
}

Tensor MultiHeadAttention::forward(const Tensor& x, const Tensor& context, const Tensor& mask) {
  const bool fits = x.defined() && context.defined() && x.rank() == 3 && context.rank() == 3 &&
                    x.size(0) == context.size(0) && x.size(2) == options.features && context.size(2) == options.context;
  if (!fits) {
    const auto text = [](const Tensor& tensor) { return tensor.defined() ? tensor.shape().text() : "undefined"; };
    fail<ShapeError>("multi_head_attention", fmt::format("input {} with context {} must be (N, L, {}) and (N, S, {})",
                                                         text(x), text(context), options.features, options.context));
  }
  // One after the other: what is allocated must not depend on the compiler's order of arguments.
  const Tensor places = for_products(x), seen = &context == &x ? places : for_products(context);
  const Tensor q = by_heads(query(places)), k = by_heads(key(seen)), v = by_heads(value(seen));
  Tensor y = scaled_dot_product_attention(q, k, v, mask,
                                          {.causal = options.causal, .dropout = options.dropout, .training = training});
  y = reshape(transpose(y, 1, 2), {x.size(0), x.size(1), options.features});  // of the heads each has its features
  return out(y);
}

TransformerBlock::TransformerBlock(TransformerBlockOptions options)
    : attention_norm({.shape = {checked(options).features}}),
      attention(
          {.features = options.features, .heads = options.heads, .causal = options.causal, .dropout = options.dropout}),
      feed_norm({.shape = {options.features}}),
      feed_in({.in = options.features, .out = checked(options).hidden}),
      feed_out({.in = checked(options).hidden, .out = options.features}),
      dropout(options.dropout) {}

Tensor TransformerBlock::normalized(const LayerNorm& norm, const Tensor& x) const {
  const memory::ModuleScope module(*norm.path ? norm.path : memory::current_tag().module);
  const auto normalize = [shape = norm.options.shape, epsilon = norm.options.epsilon](
                             const Tensor& y, const Tensor& weight, const Tensor& bias) {
    return for_products(layer_norm(y, shape, weight, bias, epsilon));
  };
  return in_place ? recompute(normalize, x, norm.weight, norm.bias) : normalize(x, norm.weight, norm.bias);
}

Tensor TransformerBlock::attend(const Tensor& x, const Tensor& mask) {
  return x + dropout(attention(normalized(attention_norm, x), mask));
}

Tensor TransformerBlock::feed(const Tensor& x) {
  return x + dropout(feed_out(activation(feed_in(normalized(feed_norm, x)))));
}

std::vector<Stage> TransformerBlock::stages() {
  const auto stage = [this](const char* name, auto&& run) {
    return make_stage(name, [this, run](const Tensor& x) {
      const memory::ModuleScope module(path);
      return run(x);
    });
  };
  return {stage("attention", [this](const Tensor& x) { return attend(x); }),
          stage("feed", [this](const Tensor& x) { return feed(x); })};
}

}  // namespace mnemo::nn
