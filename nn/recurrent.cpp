#include <mnemo/nn/recurrent.h>

#include <cmath>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/nn/init.h>

namespace mnemo::nn {

template <class Derived>
Recurrent<Derived>::Recurrent(const char* name, RecurrentOptions layer_options, int gates) : options(layer_options) {
  if (options.in < 1 || options.hidden < 1 || options.layers < 1) {
    fail<ShapeError>(name, fmt::format("in {}, hidden {} and layers {} must be positive", options.in, options.hidden,
                                       options.layers));
  }
  if (!(options.dropout >= 0 && options.dropout <= 1))
    fail<ShapeError>(name, fmt::format("dropout {} is not between 0 and 1", options.dropout));
  const double bound = 1 / std::sqrt(static_cast<double>(options.hidden));
  const std::int64_t rows = gates * options.hidden;
  const int directions = options.directions();
  for (int i = 0; i < options.layers * directions; ++i) {
    RecurrentWeights layer;
    layer.weight_ih = uniform_parameter(Shape{rows, i < directions ? options.in : directions * options.hidden}, bound);
    layer.weight_hh = uniform_parameter(Shape{rows, options.hidden}, bound);
    if (options.bias) {
      layer.bias_ih = uniform_parameter(Shape{rows}, bound);
      layer.bias_hh = uniform_parameter(Shape{rows}, bound);
    }
    layers.push_back(std::move(layer));
  }
}

template <class Derived>
void Recurrent<Derived>::visit(Visitor& v) {
  const auto directions = static_cast<std::size_t>(options.directions());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto name = [&](const char* what, Tensor& tensor) {
      v.parameter(fmt::format("{}_l{}{}", what, i / directions, i % directions == 0 ? "" : "_reverse").c_str(), tensor);
    };
    name("weight_ih", layers[i].weight_ih), name("weight_hh", layers[i].weight_hh);
    name("bias_ih", layers[i].bias_ih), name("bias_hh", layers[i].bias_hh);
  }
}

template struct Recurrent<LSTM>;
template struct Recurrent<GRU>;

namespace {

void check_input(const char* op, const Tensor& x, const RecurrentOptions& options) {
  if (x.defined() && x.rank() == 3 && x.size(2) == options.in && x.size(1) >= 1) return;
  fail<ShapeError>(op, fmt::format("input {} must be (N, L, {}) with a place or more",
                                   x.defined() ? x.shape().text() : "undefined", options.in));
}

/// One part of a state, by layers and directions; undefined ones where it is undefined.
std::vector<Tensor> by_layers(const char* op, const Tensor& part, const Tensor& x, const RecurrentOptions& options) {
  const int count = options.layers * options.directions();
  std::vector<Tensor> parts(static_cast<std::size_t>(count));
  if (!part.defined()) return parts;
  const Shape one{x.size(0), options.hidden}, all{count, x.size(0), options.hidden};
  const Shape& expected = count == 1 ? one : all;
  if (!(part.shape() == expected)) {
    fail<ShapeError>(
        op, fmt::format("state {} for input {} must be {}", part.shape().text(), x.shape().text(), expected.text()));
  }
  if (count == 1) return {part};
  for (int i = 0; i < count; ++i) parts[static_cast<std::size_t>(i)] = select(part, 0, i);
  return parts;
}

/// The reverse.
Tensor together(const std::vector<Tensor>& parts) { return parts.size() == 1 ? parts[0] : stack(parts, 0); }

/// h after the last step, of `outputs` at every place; a copy, since a view would keep those of all places.
Tensor last_state(const Tensor& outputs, bool reverse) {
  const Tensor last = select(outputs, 1, reverse ? 0 : -1);
  return outputs.size(1) == 1 ? last : clone(last);
}

/// One layer after the other: layer(number in `layers`, x, whether it is the way back) gives its state at every place.
/// What the last layer gives: (N, L, directions * hidden).
template <class Layer>
Tensor run(const RecurrentOptions& options, bool training, Tensor x, const Layer& layer) {
  const auto directions = static_cast<std::size_t>(options.directions());
  for (int i = 0; i < options.layers; ++i) {
    const std::size_t first = static_cast<std::size_t>(i) * directions;
    if (options.bidirectional) {
      const Tensor forwards = layer(first, x, false), backwards = layer(first + 1, x, true);
      x = concat({forwards, backwards}, 2);
    } else {
      x = layer(first, x, false);
    }
    if (options.dropout > 0 && i + 1 < options.layers) x = dropout(x, options.dropout, training);
  }
  return x;
}

}  // namespace

LSTM::LSTM(LSTMOptions layer_options) : Recurrent("LSTM", layer_options, 4) {}

Tensor LSTM::forward(const Tensor& x) const {
  check_input("lstm", x, options);
  return run(options, training, x, [&](std::size_t i, const Tensor& input, bool reverse) {
    return lstm(input, {}, {}, layers[i], reverse).h;
  });
}

LSTM::Result LSTM::forward(const Tensor& x, const State& before) const {
  check_input("lstm", x, options);
  std::vector<Tensor> h = by_layers("lstm", before.h, x, options), c = by_layers("lstm", before.c, x, options);
  const Tensor outputs = run(options, training, x, [&](std::size_t i, const Tensor& input, bool reverse) {
    LstmResult result = lstm(input, h[i], c[i], layers[i], reverse);
    h[i] = last_state(result.h, reverse), c[i] = std::move(result.c);
    return result.h;
  });
  return {outputs, {together(h), together(c)}};
}

GRU::GRU(GRUOptions layer_options) : Recurrent("GRU", layer_options, 3) {}

Tensor GRU::forward(const Tensor& x) const {
  check_input("gru", x, options);
  return run(options, training, x,
             [&](std::size_t i, const Tensor& input, bool reverse) { return gru(input, {}, layers[i], reverse); });
}

GRU::Result GRU::forward(const Tensor& x, const Tensor& before) const {
  check_input("gru", x, options);
  std::vector<Tensor> h = by_layers("gru", before, x, options);
  const Tensor outputs = run(options, training, x, [&](std::size_t i, const Tensor& input, bool reverse) {
    Tensor result = gru(input, h[i], layers[i], reverse);
    h[i] = last_state(result, reverse);
    return result;
  });
  return {outputs, together(h)};
}

}  // namespace mnemo::nn
