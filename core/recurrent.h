// One step of a recurrent layer, for all sequences at once: what makes of a state the next one, and its gradient. The
// products around it are matmul's. An LSTM has the gates i, f, g, o, a GRU r, z, n, side by side: PyTorch's order.
#pragma once

#include <mnemo/core/array.h>
#include <mnemo/core/functors.h>

namespace mnemo {

enum class RecurrentKind : std::uint8_t { lstm, gru };

/// Arrays are (N, hidden), or (N, gates * hidden) for `gates` and `state`, of one floating dtype, with the elements of
/// a row side by side and rows anywhere: that of `state` may be one for all. Each is rounded once.
struct RecurrentCall {
  RecurrentKind kind = RecurrentKind::lstm;
  Array gates;   ///< what the input gives to them; in its memory they are what is made of it
  Array state;   ///< what the state before gives to them; or undefined: 0
  Array before;  ///< LSTM: c before, GRU: h before; or undefined: 0
  Array kept;    ///< out. LSTM: c, maybe in the memory of `before`. GRU: what the state gives to n, before r takes part
  Array h;       ///< out
};

/// The gradient of RecurrentCall, where `gates` and `kept` are as that made them.
struct RecurrentGradientCall {
  RecurrentKind kind = RecurrentKind::lstm;
  Array gates, before, kept;  ///< `before` may be undefined: 0
  Array dy;                   ///< gradient of h
  Array dh;                   ///< what is to be added to that: it came back through the next step; or undefined: 0
  Array dc;                   ///< LSTM: gradient of c; or undefined: 0
  Array dgates;               ///< out: of what input and state give to the gates; maybe in the memory of `gates`
  Array dkept;                ///< out. GRU: of `kept`, maybe in its memory
  /// out: of `before` itself, behind the next step's `gates` not yet counted; maybe in the memory of `dh` or `dc`
  Array dbefore;
};

/// One unit of an LSTM; T is what is computed in.
template <class T>
struct LstmUnit {
  static constexpr int kGates = 4;
  static constexpr bool kKeptIsGiven = false;  ///< `kept` is a result, which has no gradient of its own
  T gates[kGates];

  /// Makes gates of what is given to them; `kept` becomes c.
  MNEMO_HOST_DEVICE void step(const T (&states)[kGates], T before, T& kept, T& h) {
    const T i = functors::Sigmoid::forward(gates[0] + states[0], {}),
            f = functors::Sigmoid::forward(gates[1] + states[1], {}),
            g = functors::Tanh::forward(gates[2] + states[2], {}),
            o = functors::Sigmoid::forward(gates[3] + states[3], {});
    kept = f * before + i * g;
    h = o * functors::Tanh::forward(kept, {});
    gates[0] = i, gates[1] = f, gates[2] = g, gates[3] = o;
  }
  /// Makes of gates the gradients of what was given to them, and dbefore.
  MNEMO_HOST_DEVICE void step_gradient(T before, T& kept, T dh, T dc, T& dbefore) {
    const T i = gates[0], f = gates[1], g = gates[2], o = gates[3], bounded = functors::Tanh::forward(kept, {});
    const T all = dc + functors::Tanh::gradient(dh * o, bounded, {});
    gates[0] = functors::Sigmoid::gradient(all * g, i, {});
    gates[1] = functors::Sigmoid::gradient(all * before, f, {});
    gates[2] = functors::Tanh::gradient(all * i, g, {});
    gates[3] = functors::Sigmoid::gradient(dh * bounded, o, {});
    dbefore = all * f;
  }
};

/// The same of a GRU, where `kept` is what the state gives to n, and becomes its gradient.
template <class T>
struct GruUnit {
  static constexpr int kGates = 3;
  static constexpr bool kKeptIsGiven = true;
  T gates[kGates];

  MNEMO_HOST_DEVICE void step(const T (&states)[kGates], T before, T& kept, T& h) {
    const T r = functors::Sigmoid::forward(gates[0] + states[0], {}),
            z = functors::Sigmoid::forward(gates[1] + states[1], {});
    kept = states[2];
    const T n = functors::Tanh::forward(gates[2] + r * kept, {});
    h = n + z * (before - n);
    gates[0] = r, gates[1] = z, gates[2] = n;
  }
  MNEMO_HOST_DEVICE void step_gradient(T before, T& kept, T dh, T, T& dbefore) {
    const T r = gates[0], z = gates[1], n = gates[2], dn = functors::Tanh::gradient(dh - dh * z, n, {});
    gates[0] = functors::Sigmoid::gradient(dn * kept, r, {});
    gates[1] = functors::Sigmoid::gradient(dh * (before - n), z, {});
    gates[2] = dn;
    kept = dn * r;
    dbefore = dh * z;
  }
};

/// f(unit of `kind` that computes in T)
template <class T, class F>
void visit_unit(RecurrentKind kind, const F& f) {
  kind == RecurrentKind::lstm ? f(LstmUnit<T>{}) : f(GruUnit<T>{});
}

/// The rows of an array, or of none.
template <class E>
struct RecurrentRows {
  E* data;
  std::int64_t stride;

  explicit RecurrentRows(const Array& array)
      : data(array.defined() ? array.data<E>() : nullptr), stride(array.defined() ? array.strides()[0] : 0) {}
  MNEMO_HOST_DEVICE E* to(std::int64_t row, std::int64_t column) const { return data + row * stride + column; }
  /// `zeros` instead where there is no array.
  MNEMO_HOST_DEVICE const E* from(std::int64_t row, std::int64_t column, const E* zeros) const {
    return data == nullptr ? zeros : to(row, column);
  }
};

/// RecurrentCall, of elements of type E, for `Unit`: every device has its own way through the units.
template <class Unit, class E>
struct RecurrentStep {
  std::int64_t hidden;
  RecurrentRows<E> gates, state, before, kept, h;

  explicit RecurrentStep(const RecurrentCall& call)
      : hidden(call.h.size(1)), gates(call.gates), state(call.state), before(call.before), kept(call.kept), h(call.h) {}

  /// Where the units of a row from `unit` on lie: as many as there are `zeros`.
  struct Place {
    E* gates[Unit::kGates];
    const E* states[Unit::kGates];
    const E* before;
    E *kept, *h;

    MNEMO_HOST_DEVICE void step(std::int64_t i) const {
      using T = compute_type<E>;
      Unit unit;
      T given[Unit::kGates], to_keep, next;
      for (int k = 0; k < Unit::kGates; ++k) unit.gates[k] = cast<T>(gates[k][i]), given[k] = cast<T>(states[k][i]);
      unit.step(given, cast<T>(before[i]), to_keep, next);
      for (int k = 0; k < Unit::kGates; ++k) gates[k][i] = cast<E>(unit.gates[k]);
      kept[i] = cast<E>(to_keep), h[i] = cast<E>(next);
    }
  };
  MNEMO_HOST_DEVICE Place at(std::int64_t row, std::int64_t unit, const E* zeros) const {
    Place place;
    for (int k = 0; k < Unit::kGates; ++k) {
      place.gates[k] = gates.to(row, k * hidden + unit);
      place.states[k] = state.from(row, k * hidden + unit, zeros);
    }
    place.before = before.from(row, unit, zeros), place.kept = kept.to(row, unit), place.h = h.to(row, unit);
    return place;
  }
};

/// The same of RecurrentGradientCall.
template <class Unit, class E>
struct RecurrentStepGradient {
  std::int64_t hidden;
  RecurrentRows<E> gates, before, kept, dy, dh, dc, dgates, dkept, dbefore;

  explicit RecurrentStepGradient(const RecurrentGradientCall& call)
      : hidden(call.dy.size(1)),
        gates(call.gates),
        before(call.before),
        kept(call.kept),
        dy(call.dy),
        dh(call.dh),
        dc(call.dc),
        dgates(call.dgates),
        dkept(call.dkept),
        dbefore(call.dbefore) {}

  struct Place {
    const E* gates[Unit::kGates];
    E* dgates[Unit::kGates];
    const E *before, *kept, *dy, *dh, *dc;
    E *dkept = nullptr, *dbefore;

    MNEMO_HOST_DEVICE void step(std::int64_t i) const {
      using T = compute_type<E>;
      Unit unit;
      for (int k = 0; k < Unit::kGates; ++k) unit.gates[k] = cast<T>(gates[k][i]);
      T was_kept = cast<T>(kept[i]), of_before;
      unit.step_gradient(cast<T>(before[i]), was_kept, cast<T>(dy[i]) + cast<T>(dh[i]), cast<T>(dc[i]), of_before);
      for (int k = 0; k < Unit::kGates; ++k) dgates[k][i] = cast<E>(unit.gates[k]);
      if constexpr (Unit::kKeptIsGiven) dkept[i] = cast<E>(was_kept);
      dbefore[i] = cast<E>(of_before);
    }
  };
  MNEMO_HOST_DEVICE Place at(std::int64_t row, std::int64_t unit, const E* zeros) const {
    Place place;
    for (int k = 0; k < Unit::kGates; ++k) {
      place.gates[k] = gates.to(row, k * hidden + unit);
      place.dgates[k] = dgates.to(row, k * hidden + unit);
    }
    place.before = before.from(row, unit, zeros), place.kept = kept.to(row, unit), place.dy = dy.to(row, unit);
    place.dh = dh.from(row, unit, zeros), place.dc = dc.from(row, unit, zeros);
    if constexpr (Unit::kKeptIsGiven) place.dkept = dkept.to(row, unit);
    place.dbefore = dbefore.to(row, unit);
    return place;
  }
};

}  // namespace mnemo
