// A recurrent layer over all places of its sequences, there and back: steps around Backend::recurrent_step.
#pragma once

#include <cstdint>

#include <mnemo/core/array.h>
#include <mnemo/core/recurrent.h>

namespace mnemo {

/// What is the same at all steps of a layer.
struct RecurrentLayer {
  RecurrentKind kind = RecurrentKind::lstm;
  std::int64_t count = 0, places = 1, hidden = 0;
  bool reverse = false;  ///< from the last place to the first

  bool is_lstm() const { return kind == RecurrentKind::lstm; }
  std::int64_t gates() const { return is_lstm() ? 4 : 3; }
  std::int64_t columns() const { return gates() * hidden; }
  /// Where a step is.
  std::int64_t place(std::int64_t step) const { return reverse ? places - 1 - step : step; }
};

/// (gates * hidden, in), (gates * hidden, hidden), and (gates * hidden) or undefined: 0.
struct RecurrentArrays {
  Array ih, hh, bias_ih, bias_hh;
};

/// What there is of each step.
struct RecurrentSteps {
  Array h;       // (N, L, hidden)
  Array gates;   // (N, L, gates * hidden)
  Array kept;    // RecurrentCall::kept: of an LSTM (N, L - 1, hidden) in the order of steps, of a GRU (N, L, hidden)
  Array last_c;  // (N, hidden): an LSTM's `kept` of the last step; of all of them one after the other if none is kept
  Array h_before, c_before;  // (N, hidden), or undefined

  Array kept_at(const RecurrentLayer& layer, std::int64_t step) const;
  Array h_before_step(const RecurrentLayer& layer, std::int64_t step) const;
  /// RecurrentCall::before
  Array before(const RecurrentLayer& layer, std::int64_t step) const;
};

/// From steps.h_before and steps.c_before makes steps.h, and steps.last_c of an LSTM, in the dtype of x (N, L, in).
/// `keeps` gates and what else the gradient needs. REQUIRES: checked arrays; states without gaps in their rows.
void recurrent_layer(const RecurrentLayer& layer, const Array& x, const RecurrentArrays& weights, RecurrentSteps& steps,
                     bool keeps);

/// The gradients of all gates, of all steps.
struct RecurrentGradients {
  Array dgates;  // (N, L, gates * hidden): of what the input gives
  Array dkept;   // (N, L, hidden): of what the state gives to a GRU's n; to all other gates it is in `dgates`
  Array dh, dc;  // (N, hidden): of the state before the first step; dh where it was asked for, dc of an LSTM

  Array x(const Array& weight_ih) const;  ///< (N, L, in)
  Array weight_ih(const Array& x) const;  ///< (gates * hidden, in)
  Array bias_ih() const;                  ///< (gates * hidden)
  /// Maybe bias_ih itself.
  Array bias_hh(const RecurrentLayer& layer, const Array& bias_ih) const;
  /// (gates * hidden, hidden); the last to be asked for: gradients of first steps become 0.
  Array weight_hh(const RecurrentLayer& layer, const RecurrentSteps& steps) const;
};

/// Goes back from dy (N, L, hidden) and dc (N, hidden, or undefined: 0), without gaps: in the memory of gates and kept
/// of `steps`, which are handed over, where nobody else holds it.
RecurrentGradients recurrent_layer_gradient(const RecurrentLayer& layer, RecurrentSteps& steps, const Array& weight_hh,
                                            const Array& dy, Array dc, bool wants_dh);

}  // namespace mnemo
