// Recurrent layers: LSTM, GRU. Parameters have PyTorch's names, shapes and order of gates, so that weights can be
// exchanged.
#pragma once

#include <vector>

#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/ops_recurrent.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

struct RecurrentOptions {
  std::int64_t in = 0;      ///< features of each place
  std::int64_t hidden = 0;  ///< features of the state
  bool bias = true;
  int layers = 1;      ///< each takes the state of the one before it at every place
  double dropout = 0;  ///< of what one layer gives to the next, while training
  /// Each layer goes through the places forwards, and with parameters of its own backwards; what both find at a place
  /// is its result there, one behind the other.
  bool bidirectional = false;

  int directions() const { return bidirectional ? 2 : 1; }
};

/// What the recurrent layers share. Begins uniform within 1 / sqrt(hidden).
template <class Derived>
struct Recurrent : Module<Derived> {
  RecurrentOptions options;
  std::vector<RecurrentWeights> layers;  ///< in both directions: the first one forwards, backwards, the second one ...

  /// "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", then with "_l0_reverse" those of its way back, then
  /// those of layer 1, ...
  void visit(Visitor& v);

 protected:
  /// Throws ShapeError unless sizes and layers are positive and dropout is between 0 and 1.
  Recurrent(const char* name, RecurrentOptions layer_options, int gates);
};

using LSTMOptions = RecurrentOptions;
/// Long short-term memory (Hochreiter and Schmidhuber, 1997, with forget gates): (N, L, in) -> (N, L, hidden), place by
/// place. With i, f, g, o the four parts of x weight_ih' + bias_ih + h weight_hh' + bias_hh:
/// c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c). Keeps of each place, layer and direction the four
/// gates, c and h: six times `hidden` values; between layers, with dropout or in both directions, also what the next
/// one takes. (lstm in autograd/ops_recurrent.h)
struct LSTM : Recurrent<LSTM> {
  struct State {
    Tensor h, c;  // (N, hidden), of several layers or directions (layers * directions, N, hidden), as `layers` are
  };
  struct Result {
    Tensor outputs;  // (N, L, directions * hidden): the last layer's h at every place
    State state;     ///< after the last place, of the way back after the first
  };

  explicit LSTM(LSTMOptions layer_options);
  Tensor forward(const Tensor& x) const;
  /// Goes on from a state; an undefined part is zeros. Throws ShapeError for one of another shape.
  Result forward(const Tensor& x, const State& before) const;
};

using GRUOptions = RecurrentOptions;
/// Gated recurrent unit (Cho et al., Learning phrase representations using RNN encoder-decoder, 2014), as PyTorch and
/// cuDNN have it: (N, L, in) -> (N, L, hidden), place by place. With r, z, n the three parts of a = x weight_ih' +
/// bias_ih and of b = h weight_hh' + bias_hh: r = sigmoid(a_r + b_r), z = sigmoid(a_z + b_z), n = tanh(a_n + r b_n),
/// h = (1 - z) n + z h, computed as n + z (h - n). Keeps of each place, layer and direction r, z, n, b_n and h: five
/// times `hidden` values; between layers, with dropout or in both directions, also what the next one takes.
struct GRU : Recurrent<GRU> {
  struct Result {
    Tensor outputs;  // (N, L, directions * hidden): the last layer's h at every place
    Tensor state;    // as LSTM::State::h
  };

  explicit GRU(GRUOptions layer_options);
  Tensor forward(const Tensor& x) const;
  /// Goes on from a state; an undefined one is zeros. Throws ShapeError for one of another shape.
  Result forward(const Tensor& x, const Tensor& before) const;
};

}  // namespace mnemo::nn
