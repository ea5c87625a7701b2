// normalize_gradient: what the gradient and its products with the input sum to in every channel, and what that takes
// from the elements.
#include <mnemo/core/normalize_lines.h>
#include <mnemo/cuda/kernels/normalize.h>

namespace mnemo::cuda {

namespace {

/// Where the gradient counts: everywhere, where x says that the result was above 0, or where the result says so.
enum class Mask { none, x, y };

template <class E, Mask kMask>
struct Gradient {
  using Element = E;
  using Real = compute_type<E>;
  static constexpr int kSums = kMask == Mask::y ? 3 : 2, kInputs = 2;
  static constexpr bool kKeeps = kMask == Mask::y, kOfImages = false, kElements = true;

  const E* sum_inputs[kSums];  ///< the gradient, x, and y
  const E* inputs[kInputs];    ///< the gradient or what is kept of it, x
  E* kept;                     ///< what counts of the gradient
  E* output;
  ChannelNumbers weight, bias, mean, inverse_deviation, dweight, dbias;
  double share;  ///< of one element in a mean; 0 where the statistics do not move with the elements

  /// Of a channel: its mean, and what else makes a result of x.
  using Context = NormalizeLine<Real>;
  __device__ Context context(std::int64_t channel) const {
    const auto m = mean.read(channel), i = inverse_deviation.read(channel), w = weight.read(channel),
               b = bias.read(channel);
    const double scale = inverse_deviation.value(i, 1) * weight.value(w, 1);
    return {static_cast<Real>(mean.value(m, 0)), static_cast<Real>(scale), static_cast<Real>(bias.value(b, 0))};
  }
  /// What counts of a gradient, as far as x says so.
  __device__ static Real counted(Real gradient, Real x, const Context& context) {
    if constexpr (kMask == Mask::x) return context(x) > kRoundsToZero<E> ? gradient : Real{0};
    return gradient;
  }
  template <class P>
  __device__ static void add(P& first, P& second, const Context& context, Real (&values)[kSums]) {
    if constexpr (kMask == Mask::y) values[0] = values[2] > Real{0} ? values[0] : Real{0};
    const auto gradient = static_cast<P>(counted(values[0], values[1], context));
    first += gradient;
    second += gradient * static_cast<P>(values[1] - context.mean);
  }
  /// The mean of the gradient, and the slope with which the distance from the mean is taken off.
  __device__ Pair finish(std::int64_t channel, const Pair& sums) const {
    const double inverse = inverse_deviation.get(channel, 1);
    dweight.set(channel, sums.second * inverse);
    dbias.set(channel, sums.first);
    return {sums.first * share, sums.second * share * inverse * inverse};
  }
  __device__ static Pair still(std::int64_t, bool) { return {}; }

  struct Line {
    NormalizeGradientLine<Real> line;
    Real shift;
  };
  __device__ Line line(std::int64_t channel, const Pair& numbers) const {
    const Context c = context(channel);
    return {{c.scale, static_cast<Real>(numbers.first), c.mean, static_cast<Real>(numbers.second)}, c.shift};
  }
  __device__ static E element(const Line& of, const Real (&values)[kInputs]) {
    const NormalizeGradientLine<Real>& line = of.line;
    return cast<E>(line(counted(values[0], values[1], {line.center, line.scale, of.shift}), values[1]));
  }
};

template <class E, Mask kMask>
void give(const CudaBackend& backend, const NormalizeGradientCall& call) {
  const std::int64_t count = call.batch * call.inner;
  Gradient<E, kMask> op{};
  op.sum_inputs[0] = op.inputs[0] = elements<E>(call.grad);
  op.sum_inputs[1] = op.inputs[1] = elements<E>(call.x);
  op.output = elements<E>(call.dx);
  if constexpr (kMask == Mask::y) {
    op.sum_inputs[2] = elements<E>(call.y);
    op.inputs[0] = op.kept = elements<E>(call.dresidual);
  }
  op.weight = ChannelNumbers(call.weight), op.bias = ChannelNumbers(call.bias), op.mean = ChannelNumbers(call.mean);
  op.inverse_deviation = ChannelNumbers(call.inverse_deviation);
  op.dweight = ChannelNumbers(call.dweight), op.dbias = ChannelNumbers(call.dbias);
  op.share = call.training && count > 0 ? 1 / static_cast<double>(count) : 0;
  Division division;
  division.batch = call.batch, division.channels = call.channels, division.inner = call.inner;
  const bool sums = call.training || kMask == Mask::y || call.dweight.defined() || call.dbias.defined();
  if (sums || call.dx.defined()) normalize_any(backend, op, division, sums, call.dx.defined());
}

}  // namespace

void CudaBackend::normalize_gradient(const NormalizeGradientCall& call) {
  const ScratchLease lease = scratch();  // sums and elements are two launches
  if (call.channels == 0) return;
  visit_floating(call.x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    if (call.y.defined())
      give<E, Mask::y>(*this, call);
    else if (call.relu)
      give<E, Mask::x>(*this, call);
    else
      give<E, Mask::none>(*this, call);
  });
}

}  // namespace mnemo::cuda
