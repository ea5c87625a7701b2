// LSTM and GRU layers as one operation each, whatever the number of places.
#include <memory>
#include <utility>

#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops_recurrent.h>
#include <mnemo/autograd/record.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families/check.h>
#include <mnemo/core/families/recurrent.h>

namespace mnemo {

namespace {

/// A gradient of c that waits for that of h: they are two results of one operation.
struct Handed {
  Array dc;
  std::uint64_t run = 0;  ///< the backward in which it was handed over

  /// What was handed over in this backward, without gaps, or undefined.
  Array take(const Backward& back) {
    const Array taken = std::exchange(dc, {});
    return taken.defined() && run == back.run() ? taken.contiguous() : Array();
  }
};

/// What backward needs.
struct Kept {
  Saved x, h, gates, kept, last_c, h_before, c_before, weight_ih, weight_hh;
  std::shared_ptr<Handed> handed;  ///< of an LSTM

  RecurrentSteps steps() const {
    const auto get = [](const Saved& saved) { return saved.defined() ? saved.get() : Array(); };
    return {get(h), get(gates), get(kept), get(last_c), get(h_before), get(c_before)};
  }
};

enum Input : std::size_t { kX, kH, kC, kWeightIh, kWeightHh, kBiasIh, kBiasHh };

void give_gradients(const RecurrentLayer& layer, Kept& kept, Backward& back) {
  const Array dy = back.take_grad().contiguous();
  Array dc = kept.handed ? kept.handed->take(back) : Array();
  RecurrentSteps steps = kept.steps();
  if (back.is_last()) kept.gates = Saved(), kept.kept = Saved();
  RecurrentGradients gradients =
      recurrent_layer_gradient(layer, steps, kept.weight_hh.get(), dy, std::move(dc), back.needs(kH));
  if (back.needs(kH)) back.give(kH, std::move(gradients.dh));
  if (back.needs(kC)) back.give(kC, std::move(gradients.dc));
  if (back.needs(kX)) back.give(kX, gradients.x(kept.weight_ih.get()));
  if (back.needs(kWeightIh)) back.give(kWeightIh, gradients.weight_ih(kept.x.get()));
  if (back.needs(kBiasIh) || back.needs(kBiasHh)) {
    const Array bias_ih = gradients.bias_ih();
    if (back.needs(kBiasHh)) back.give(kBiasHh, gradients.bias_hh(layer, bias_ih));
    if (back.needs(kBiasIh)) back.give(kBiasIh, bias_ih);
  }
  if (back.needs(kWeightHh)) back.give(kWeightHh, gradients.weight_hh(layer, steps));
}

/// Throws unless everything fits together.
RecurrentLayer checked(const char* op, RecurrentKind kind, const Tensor& x, const Tensor& h, const Tensor& c,
                       const RecurrentWeights& weights, bool reverse) {
  check_floating(op, x.array());
  for (const Tensor* weight : {&weights.weight_ih, &weights.weight_hh}) check_defined(op, weight->array());
  if (x.rank() != 3 || weights.weight_ih.rank() != 2 || x.size(2) != weights.weight_ih.size(1) || x.size(1) < 1) {
    fail<ShapeError>(op, fmt::format("input {} and weight_ih {}: they must be (N, L, in), with a place or more, and "
                                     "(gates * hidden, in)",
                                     x.shape().text(), weights.weight_ih.shape().text()));
  }
  const std::int64_t hidden = weights.weight_hh.rank() == 2 ? weights.weight_hh.size(1) : 0;
  const RecurrentLayer layer{kind, x.size(0), x.size(1), hidden, reverse};
  const auto check = [&](const char* what, const Tensor& tensor, const Dims& expected) {
    if (!tensor.defined()) return;
    if (!(tensor.shape() == Shape(expected))) {
      fail<ShapeError>(op, fmt::format("{} {} for input {} must be {}", what, tensor.shape().text(), x.shape().text(),
                                       Shape(expected).text()));
    }
    check_same_device(op, x.array(), tensor.array());
    check_dtype(op, what, tensor.array(), x.dtype());
  };
  check("weight_hh", weights.weight_hh, {weights.weight_ih.size(0), weights.weight_ih.size(0) / layer.gates()});
  check("weight_ih", weights.weight_ih, {layer.columns(), x.size(2)});
  check("bias_ih", weights.bias_ih, {layer.columns()}), check("bias_hh", weights.bias_hh, {layer.columns()});
  check("state h", h, {layer.count, hidden}), check("state c", c, {layer.count, hidden});
  return layer;
}

RecurrentWeights weights_as(const OperandCast& cast, const RecurrentWeights& weights) {
  return {cast(weights.weight_ih), cast(weights.weight_hh), cast(weights.bias_ih), cast(weights.bias_hh)};
}

Array array_of(const Tensor& x) { return x.defined() ? x.array() : Array(); }
/// A state, whose rows have no gaps.
Array state_of(const Tensor& x) { return x.defined() ? x.array().contiguous() : Array(); }

LstmResult recurrent(const char* op, RecurrentKind kind, const Tensor& x, const Tensor& h, const Tensor& c,
                     const RecurrentWeights& w, bool reverse) {
  const Operation operation(op);
  const RecurrentLayer layer = checked(op, kind, x, h, c, w, reverse);
  bool keeps = false;
  for (const Tensor* input : {&x, &h, &c, &w.weight_ih, &w.weight_hh, &w.bias_ih, &w.bias_hh})
    keeps = keeps || needs_grad(*input);
  RecurrentSteps steps;
  steps.h_before = state_of(h), steps.c_before = state_of(c);
  recurrent_layer(layer, x.array(),
                  {w.weight_ih.array(), w.weight_hh.array(), array_of(w.bias_ih), array_of(w.bias_hh)}, steps, keeps);
  Kept kept;
  if (keeps) {
    kept = {.x = save_if(needs_grad(w.weight_ih), x.array()),
            .h = Saved(steps.h),
            .gates = Saved(steps.gates),
            .kept = save_if(true, steps.kept),
            .last_c = save_if(true, steps.last_c),
            .h_before = save_if(true, steps.h_before),
            .c_before = save_if(true, steps.c_before),
            .weight_ih = save_if(needs_grad(x), w.weight_ih.array()),
            .weight_hh = Saved(w.weight_hh.array()),
            .handed = layer.is_lstm() ? std::make_shared<Handed>() : nullptr};
  }
  const std::shared_ptr<Handed> handed = kept.handed;
  LstmResult result;
  result.h = record({&x, &h, &c, &w.weight_ih, &w.weight_hh, &w.bias_ih, &w.bias_hh}, steps.h,
                    [layer, kept = std::move(kept)](Backward& back) mutable { give_gradients(layer, kept, back); });
  if (!layer.is_lstm()) return result;
  result.c = record({&result.h}, steps.last_c, [handed, shape = steps.h.shape()](Backward& back) {
    handed->dc = back.take_grad(), handed->run = back.run();
    // What makes h run: nothing of it.
    const Array nothing(Shape{shape[0], 0, shape[2]}, handed->dc.dtype(), handed->dc.device());
    back.give(0, nothing, {.whole = shape, .axis = 1, .begin = 0, .end = 0});
  });
  return result;
}

}  // namespace

LstmResult lstm(const Tensor& x, const Tensor& h, const Tensor& c, const RecurrentWeights& weights, bool reverse) {
  if (const OperandCast cast("lstm",
                             {&x, &h, &c, &weights.weight_ih, &weights.weight_hh, &weights.bias_ih, &weights.bias_hh});
      cast)
    return lstm(cast(x), cast(h), cast(c), weights_as(cast, weights), reverse);
  return recurrent("lstm", RecurrentKind::lstm, x, h, c, weights, reverse);
}

Tensor gru(const Tensor& x, const Tensor& h, const RecurrentWeights& weights, bool reverse) {
  if (const OperandCast cast("gru",
                             {&x, &h, &weights.weight_ih, &weights.weight_hh, &weights.bias_ih, &weights.bias_hh});
      cast)
    return gru(cast(x), cast(h), weights_as(cast, weights), reverse);
  return recurrent("gru", RecurrentKind::gru, x, h, {}, weights, reverse).h;
}

}  // namespace mnemo
