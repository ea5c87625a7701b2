// normalize_gradient: what the gradient and its products with the input sum to in every channel, and what that takes
// from the elements.
#include <mnemo/cuda/kernels/normalize.h>

namespace mnemo::cuda {

namespace {

template <class E>
struct Gradient {
  using Element = E;
  using Real = compute_type<E>;
  static constexpr int kInputs = 2;

  const E* inputs[kInputs];  ///< the gradient, x
  E* output;
  ChannelNumbers weight, mean, inverse_deviation, dweight, dbias;
  double share;  ///< of one element in a mean; 0 where the statistics do not move with the elements

  __device__ Real reference(std::int64_t channel) const { return static_cast<Real>(mean.get(channel, 0)); }
  __device__ static void add(Pair& sums, Real mean, const Real (&values)[kInputs]) {
    const auto gradient = static_cast<double>(values[0]);
    sums.first += gradient;
    sums.second += gradient * static_cast<double>(values[1] - mean);
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
    Real scale, gradient, center, slope;
    __device__ Real operator()(const Real (&values)[kInputs]) const {
      return scale * (values[0] - gradient - (values[1] - center) * slope);
    }
  };
  __device__ Line line(std::int64_t channel, const Pair& numbers) const {
    return {static_cast<Real>(inverse_deviation.get(channel, 1) * weight.get(channel, 1)),
            static_cast<Real>(numbers.first), static_cast<Real>(mean.get(channel, 0)),
            static_cast<Real>(numbers.second)};
  }
};

}  // namespace

void CudaBackend::normalize_gradient(const NormalizeGradientCall& call) {
  const ScratchLease lease = scratch();  // sums and elements are two launches
  const bool sums = call.training || call.dweight.defined() || call.dbias.defined();
  if (call.channels == 0 || !(sums || call.dx.defined())) return;
  visit_floating(call.x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    const std::int64_t count = call.batch * call.inner;
    Gradient<E> op{};
    op.inputs[0] = elements<E>(call.grad), op.inputs[1] = elements<E>(call.x);
    op.output = elements<E>(call.dx);
    op.weight = ChannelNumbers(call.weight), op.mean = ChannelNumbers(call.mean);
    op.inverse_deviation = ChannelNumbers(call.inverse_deviation);
    op.dweight = ChannelNumbers(call.dweight), op.dbias = ChannelNumbers(call.dbias);
    op.share = call.training && count > 0 ? 1 / static_cast<double>(count) : 0;
    Division division;
    division.batch = call.batch, division.channels = call.channels, division.inner = call.inner;
    normalize_any(*this, op, division, sums, call.dx.defined());
  });
}

}  // namespace mnemo::cuda
