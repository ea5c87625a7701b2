// The input's part of all gates is one product, then each step is a product and Backend::recurrent_step. The way back
// goes through the steps from the last to the first; weights get their gradients from all steps at once.
#include <mnemo/core/families/recurrent.h>

#include <utility>

#include <mnemo/core/families.h>
#include <mnemo/core/work.h>

namespace mnemo {

namespace {

/// Elements of gates that are there at once where none are kept, unless those of one place are more.
constexpr std::int64_t kMostGates = std::int64_t{1} << 20;

/// x (N, L, features) at a place: (N, features).
Array at(const Array& x, std::int64_t place) { return x.slice(1, place, place + 1).squeeze(1); }
/// Its rows, of all places.
Array rows(const Array& x) { return x.reshape({x.size(0) * x.size(1), x.size(2)}); }

void multiply(const Array& a, const Array& b, const Array& out, bool accumulate) {
  matmul_into(a.unsqueeze(0), b.unsqueeze(0), out.unsqueeze(0), accumulate);
}

/// What the state before gives to the gates: (N, gates * hidden), or undefined.
Array given_by_state(const RecurrentLayer& layer, const Array& h, const RecurrentArrays& weights) {
  if (h.defined()) return matmul(h, weights.hh.transpose(0, 1), weights.bias_hh);
  return weights.bias_hh.defined() ? weights.bias_hh.contiguous().expand({layer.count, layer.columns()}) : Array();
}

/// f(what the state gives to some gates, of all steps, first of them) for a GRU's r and z, and n; or for all of an
/// LSTM.
template <class F>
void visit_given_by_state(const RecurrentLayer& layer, const RecurrentGradients& gradients, const F& f) {
  if (layer.is_lstm()) return f(gradients.dgates, std::int64_t{0});
  f(gradients.dgates.slice(2, 0, 2 * layer.hidden), std::int64_t{0});
  f(gradients.dkept, 2 * layer.hidden);
}

/// The gradient of the weights that gave `given` (N, L, some gates) from states: out (some gates, hidden).
void sum_up(const RecurrentLayer& layer, const RecurrentSteps& steps, const Array& given, const Array& out) {
  const Array first = at(given, layer.place(0));
  const bool from_before = steps.h_before.defined();
  if (from_before) multiply(first.transpose(0, 1), steps.h_before, out, false);
  if (layer.places == 1 || layer.count == 0) {
    if (!from_before) fill(out, 0);
    return;
  }
  // Each row has the state before it in the row next to it, but for first steps: there another sequence is.
  fill(first, 0);
  const std::int64_t pairs = layer.count * layer.places - 1, shift = layer.reverse ? 0 : 1;
  multiply(rows(given).slice(0, shift, shift + pairs).transpose(0, 1),
           rows(steps.h).slice(0, 1 - shift, 1 - shift + pairs), out, from_before);
}

}  // namespace

Array RecurrentSteps::kept_at(const RecurrentLayer& layer, std::int64_t step) const {
  if (!layer.is_lstm()) return at(kept, layer.place(step));
  return step == layer.places - 1 || !kept.defined() ? last_c : at(kept, step);
}

Array RecurrentSteps::h_before_step(const RecurrentLayer& layer, std::int64_t step) const {
  return step == 0 ? h_before : at(h, layer.place(step - 1));
}

Array RecurrentSteps::before(const RecurrentLayer& layer, std::int64_t step) const {
  if (!layer.is_lstm()) return h_before_step(layer, step);
  return step == 0 ? c_before : kept_at(layer, step - 1);
}

void recurrent_layer(const RecurrentLayer& layer, const Array& x, const RecurrentArrays& weights, RecurrentSteps& steps,
                     bool keeps) {
  const auto make = [&](const Shape& shape) { return Array(shape, x.dtype(), x.device()); };
  const auto given = [&](const Array& input) { return matmul(input, weights.ih.transpose(0, 1), weights.bias_ih); };
  const std::int64_t n = layer.count, places = layer.places, hidden = layer.hidden;
  steps.h = make({n, places, hidden});
  if (layer.is_lstm()) steps.last_c = make({n, hidden});
  const std::int64_t kept_places = layer.is_lstm() ? places - 1 : places;
  if (keeps && kept_places > 0) steps.kept = make({n, kept_places, hidden});
  if (keeps || n * places * layer.columns() <= kMostGates)
    steps.gates = given(rows(x)).reshape({n, places, layer.columns()});
  for (std::int64_t step = 0; step < places; ++step) {
    const std::int64_t place = layer.place(step);
    const Array gates = steps.gates.defined() ? at(steps.gates, place) : given(at(x, place));
    const Array state = given_by_state(layer, steps.h_before_step(layer, step), weights);
    count_operations(gates.numel());
    if (gates.numel() == 0) continue;
    x.device().backend().recurrent_step(
        {.kind = layer.kind,
         .gates = gates,
         .state = state,
         .before = steps.before(layer, step),
         .kept = keeps || layer.is_lstm() ? steps.kept_at(layer, step) : make({n, hidden}),
         .h = at(steps.h, place)});
  }
}

RecurrentGradients recurrent_layer_gradient(const RecurrentLayer& layer, RecurrentSteps& steps, const Array& weight_hh,
                                            const Array& dy, Array dc, bool wants_dh) {
  const auto own = [](const Array& x) { return x.storage().is_unique() ? x : Array::like(x); };
  const auto state = [&] { return Array(Shape{layer.count, layer.hidden}, dy.dtype(), dy.device()); };
  const bool lstm = layer.is_lstm();
  RecurrentGradients result{own(steps.gates), lstm ? Array() : own(steps.kept), {}, std::move(dc)};
  const Array own_dc = lstm ? state() : Array();
  for (std::int64_t step = layer.places; step-- > 0;) {
    const std::int64_t place = layer.place(step);
    const Array dbefore = lstm ? own_dc : result.dh.defined() ? result.dh : state();
    const RecurrentGradientCall call{.kind = layer.kind,
                                     .gates = at(steps.gates, place),
                                     .before = steps.before(layer, step),
                                     .kept = steps.kept_at(layer, step),
                                     .dy = at(dy, place),
                                     .dh = result.dh,
                                     .dc = result.dc,
                                     .dgates = at(result.dgates, place),
                                     .dkept = lstm ? Array() : at(result.dkept, place),
                                     .dbefore = dbefore};
    count_operations(call.gates.numel());
    if (call.gates.numel() > 0) dy.device().backend().recurrent_step_gradient(call);
    (lstm ? result.dc : result.dh) = dbefore;
    if (step == 0 && !wants_dh) break;
    if (!result.dh.defined()) result.dh = state();
    bool accumulate = !lstm;  // a GRU's h also goes on by itself
    visit_given_by_state(layer, result, [&](const Array& part, std::int64_t begin) {
      multiply(at(part, place), weight_hh.slice(0, begin, begin + part.size(2)), result.dh, accumulate);
      accumulate = true;
    });
  }
  steps.gates = {}, steps.kept = {};
  if (!wants_dh) result.dh = {};
  return result;
}

Array RecurrentGradients::x(const Array& weight_ih) const {
  return matmul(rows(dgates), weight_ih).reshape({dgates.size(0), dgates.size(1), weight_ih.size(1)});
}

Array RecurrentGradients::weight_ih(const Array& x) const { return matmul(rows(dgates).transpose(0, 1), rows(x)); }

Array RecurrentGradients::bias_ih() const { return reduce(ReduceOp::sum, rows(dgates), 1u, false); }

Array RecurrentGradients::bias_hh(const RecurrentLayer& layer, const Array& bias_ih) const {
  if (layer.is_lstm()) return bias_ih;
  const Array result = Array::like(bias_ih);
  copy_into(bias_ih, result);
  copy_into(reduce(ReduceOp::sum, rows(dkept), 1u, false), result.slice(0, 2 * layer.hidden, layer.columns()));
  return result;
}

Array RecurrentGradients::weight_hh(const RecurrentLayer& layer, const RecurrentSteps& steps) const {
  const Array result({layer.columns(), layer.hidden}, dgates.dtype(), dgates.device());
  visit_given_by_state(layer, *this, [&](const Array& part, std::int64_t begin) {
    sum_up(layer, steps, part, result.slice(0, begin, begin + part.size(2)));
  });
  return result;
}

}  // namespace mnemo
