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
    RecurrentLayer layer;
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

/// x (N, L, in) by places.
std::vector<Tensor> places_of(const char* op, const Tensor& x, const RecurrentOptions& options) {
  if (!x.defined() || x.rank() != 3 || x.size(2) != options.in || x.size(1) < 1) {
    fail<ShapeError>(op, fmt::format("input {} must be (N, L, {}) with a place or more",
                                     x.defined() ? x.shape().text() : "undefined", options.in));
  }
  std::vector<Tensor> places;
  for (std::int64_t place = 0; place < x.size(1); ++place) places.push_back(select(x, 1, place));
  return places;
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

/// h weight_hh' + bias_hh; of a state of zeros the bias alone (or nothing), in the dtype in which the product would be.
Tensor from_state(const RecurrentLayer& layer, const Tensor& h, DType dtype) {
  if (h.defined()) return linear(h, layer.weight_hh, layer.bias_hh);
  return layer.bias_hh.defined() ? mnemo::to(layer.bias_hh, dtype) : Tensor();
}

/// One step of an LSTM's layer: x (N, in) changes h and c.
void step(const RecurrentLayer& layer, const Tensor& x, Tensor& h, Tensor& c) {
  Tensor gates = linear(x, layer.weight_ih, layer.bias_ih);
  if (const Tensor other = from_state(layer, h, gates.dtype()); other.defined()) gates = gates + other;
  const std::vector<Tensor> parts = chunk(gates, 1, 4);
  // One after the other: what is allocated must not depend on the compiler's order of operands.
  const Tensor i = sigmoid(parts[0]), g = tanh(parts[2]), added = i * g;
  if (c.defined()) {
    const Tensor f = sigmoid(parts[1]), kept = f * c;
    c = kept + added;
  } else {
    c = added;
  }
  const Tensor o = sigmoid(parts[3]), bounded = tanh(c);
  h = o * bounded;
}

/// The same of a GRU's.
void step(const RecurrentLayer& layer, const Tensor& x, Tensor& h) {
  const Tensor gates = linear(x, layer.weight_ih, layer.bias_ih);
  const std::vector<Tensor> a = chunk(gates, 1, 3);
  std::vector<Tensor> b(3);
  if (const Tensor other = from_state(layer, h, gates.dtype()); other.defined()) b = chunk(other, -1, 3);
  const auto plus = [](const Tensor& left, const Tensor& right) { return right.defined() ? left + right : left; };
  const Tensor r = sigmoid(plus(a[0], b[0])), z = sigmoid(plus(a[1], b[1]));
  Tensor n = a[2];
  if (b[2].defined()) {
    // A copy: as a view it would keep all three parts.
    const Tensor own = h.defined() ? clone(b[2]) : b[2], gated = r * own;
    n = n + gated;
  }
  n = tanh(n);
  if (h.defined()) {
    const Tensor moved = z * (h - n);
    h = n + moved;
  } else {
    const Tensor moved = z * n;
    h = n - moved;
  }
}

/// One layer after the other: step(number in `layers`, x at a place) gives its state there, for all places. What the
/// last layer gives, as (N, L, directions * hidden).
template <class Step>
Tensor run(const RecurrentOptions& options, bool training, std::vector<Tensor> places, const Step& step) {
  std::vector<Tensor> backwards(options.bidirectional ? places.size() : 0);
  for (int i = 0; i < options.layers; ++i) {
    const std::size_t first = static_cast<std::size_t>(i) * static_cast<std::size_t>(options.directions());
    for (std::size_t place = backwards.size(); place-- > 0;) backwards[place] = step(first + 1, places[place]);
    for (std::size_t place = 0; place < places.size(); ++place) {
      Tensor& x = places[place];
      x = step(first, x);
      if (i + 1 == options.layers) continue;
      if (options.bidirectional) x = concat({x, std::exchange(backwards[place], {})}, 1);
      if (options.dropout > 0) x = dropout(x, options.dropout, training);
    }
  }
  if (!options.bidirectional) return stack(places, 1);
  // Side by side they are in the result's order: one copy makes it.
  std::vector<Tensor> both;
  for (std::size_t place = 0; place < places.size(); ++place)
    both.insert(both.end(), {places[place], backwards[place]});
  return reshape(concat(both, 1), {both[0].size(0), static_cast<std::int64_t>(places.size()), 2 * options.hidden});
}

}  // namespace

LSTM::LSTM(LSTMOptions layer_options) : Recurrent("LSTM", layer_options, 4) {}

LSTM::Result LSTM::forward(const Tensor& x, const State& before) const {
  std::vector<Tensor> places = places_of("lstm", x, options);
  std::vector<Tensor> h = by_layers("lstm", before.h, x, options), c = by_layers("lstm", before.c, x, options);
  const Tensor outputs = run(options, training, std::move(places), [&](std::size_t i, const Tensor& place) {
    step(layers[i], place, h[i], c[i]);
    return h[i];
  });
  return {outputs, {together(h), together(c)}};
}

GRU::GRU(GRUOptions layer_options) : Recurrent("GRU", layer_options, 3) {}

GRU::Result GRU::forward(const Tensor& x, const Tensor& before) const {
  std::vector<Tensor> places = places_of("gru", x, options), h = by_layers("gru", before, x, options);
  const Tensor outputs = run(options, training, std::move(places), [&](std::size_t i, const Tensor& place) {
    step(layers[i], place, h[i]);
    return h[i];
  });
  return {outputs, together(h)};
}

}  // namespace mnemo::nn
