#include <mnemo/nn/recurrent.h>

#include <cmath>
#include <vector>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/nn/init.h>

namespace mnemo::nn {

LSTM::LSTM(LSTMOptions layer_options) : options(layer_options) {
  if (options.in < 1 || options.hidden < 1)
    fail<ShapeError>("LSTM", fmt::format("in {} and hidden {} must be positive", options.in, options.hidden));
  const double bound = 1 / std::sqrt(static_cast<double>(options.hidden));
  weight_ih = uniform_parameter(Shape{4 * options.hidden, options.in}, bound);
  weight_hh = uniform_parameter(Shape{4 * options.hidden, options.hidden}, bound);
  if (!options.bias) return;
  bias_ih = uniform_parameter(Shape{4 * options.hidden}, bound);
  bias_hh = uniform_parameter(Shape{4 * options.hidden}, bound);
}

LSTM::Result LSTM::forward(const Tensor& x, const State& before) const {
  if (!x.defined() || x.rank() != 3 || x.size(2) != options.in || x.size(1) < 1) {
    fail<ShapeError>("lstm", fmt::format("input {} must be (N, L, {}) with a place or more",
                                         x.defined() ? x.shape().text() : "undefined", options.in));
  }
  const Shape state{x.size(0), options.hidden};
  for (const Tensor* part : {&before.h, &before.c}) {
    if (part->defined() && !(part->shape() == state))
      fail<ShapeError>("lstm", fmt::format("state {} for input {} must be {}", part->shape().text(), x.shape().text(),
                                           state.text()));
  }
  Tensor h = before.h, c = before.c;
  std::vector<Tensor> outputs;
  for (std::int64_t place = 0; place < x.size(1); ++place) {
    Tensor gates = linear(squeeze(slice(x, 1, place, place + 1), 1), weight_ih, bias_ih);
    // A state of zeros takes part with its bias alone: in the dtype in which the product would be.
    if (h.defined())
      gates = gates + linear(h, weight_hh, bias_hh);
    else if (bias_hh.defined())
      gates = gates + mnemo::to(bias_hh, gates.dtype());
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
    outputs.push_back(h);
  }
  return {stack(outputs, 1), {h, c}};
}

}  // namespace mnemo::nn
