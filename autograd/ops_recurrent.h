// One layer of a recurrent network over all places of its sequences, as one operation. Layers of them: nn/recurrent.h.
#pragma once

#include <mnemo/autograd/tensor.h>

namespace mnemo {

/// The gates one below the other, in PyTorch's order: input, forget, cell, output of an LSTM, reset, update, new of a
/// GRU.
struct RecurrentWeights {
  Tensor weight_ih;         // (gates * hidden, in)
  Tensor weight_hh;         // (gates * hidden, hidden)
  Tensor bias_ih, bias_hh;  // (gates * hidden), or undefined: 0
};

struct LstmResult {
  Tensor h;  // (N, L, hidden): at every place
  Tensor c;  // (N, hidden): after the last step
};

/// x (N, L, in) place by place from h and c (N, hidden), which may be undefined (0); with `reverse` from the last place
/// to the first. With i, f, g, o the parts of x weight_ih' + bias_ih + h weight_hh' + bias_hh at each place:
/// c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c). Keeps x, the four gates, c and h of every place.
/// Where nothing is recorded the gates of many places are not there at once. Throws ShapeError where shapes do not fit,
/// and for no places.
LstmResult lstm(const Tensor& x, const Tensor& h, const Tensor& c, const RecurrentWeights& weights,
                bool reverse = false);

/// The same of a GRU: (N, L, hidden). With r, z, n the parts of a = x weight_ih' + bias_ih and of
/// b = h weight_hh' + bias_hh: r = sigmoid(a_r + b_r), z = sigmoid(a_z + b_z), n = tanh(a_n + r b_n),
/// h = (1 - z) n + z h, computed as n + z (h - n). Keeps x, r, z, n, b_n and h of every place.
Tensor gru(const Tensor& x, const Tensor& h, const RecurrentWeights& weights, bool reverse = false);

}  // namespace mnemo
