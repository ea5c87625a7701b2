// Recurrent layers: LSTM.
#pragma once

#include <mnemo/autograd/ops.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

struct LSTMOptions {
  std::int64_t in = 0;      ///< features of each place
  std::int64_t hidden = 0;  ///< features of the state
  bool bias = true;
};
/// Long short-term memory (Hochreiter and Schmidhuber, 1997, with forget gates): (N, L, in) -> (N, L, hidden), place by
/// place. With i, f, g, o the four parts of x weight_ih' + bias_ih + h weight_hh' + bias_hh:
/// c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c). Begins uniform within 1 / sqrt(hidden). Keeps of each
/// place the four gates, c, tanh(c) and h: seven times `hidden` values.
struct LSTM : Module<LSTM> {
  LSTMOptions options;
  Tensor weight_ih;         // (4 * hidden, in)
  Tensor weight_hh;         // (4 * hidden, hidden)
  Tensor bias_ih, bias_hh;  // (4 * hidden), or undefined

  struct State {
    Tensor h, c;  // (N, hidden)
  };
  struct Result {
    Tensor outputs;  // (N, L, hidden): h at every place
    State state;     ///< after the last one
  };

  /// Throws ShapeError unless both sizes are positive.
  explicit LSTM(LSTMOptions layer_options);
  Tensor forward(const Tensor& x) const { return forward(x, State{}).outputs; }
  /// Goes on from a state; an undefined one is zeros. Throws ShapeError for one of another shape.
  Result forward(const Tensor& x, const State& before) const;
  void visit(Visitor& v) {
    v.parameter("weight_ih", weight_ih), v.parameter("weight_hh", weight_hh);
    v.parameter("bias_ih", bias_ih), v.parameter("bias_hh", bias_hh);
  }
};

}  // namespace mnemo::nn
