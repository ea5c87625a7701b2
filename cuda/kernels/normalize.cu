// normalize: the statistics of every channel in one pass, from a place near the mean, and what they make of the
// elements.
#include <cmath>

#include <mnemo/core/normalize_lines.h>
#include <mnemo/cuda/kernels/normalize.h>

namespace mnemo::cuda {

namespace {

/// kAdds: a residual.
template <class E, bool kAdds>
struct Forward {
  using Element = E;
  using Real = compute_type<E>;
  static constexpr int kSums = 1, kInputs = kAdds ? 2 : 1;
  static constexpr bool kKeeps = false, kOfImages = false, kElements = true;

  const E* sum_inputs[kSums];  ///< x
  const E* inputs[kInputs];    ///< x, and the residual
  E* output;
  ChannelNumbers weight, bias, running_mean, running_variance, mean, inverse_deviation;
  std::int64_t count, inner;
  double epsilon, momentum;
  bool given;
  NormalizeResult<E> result{false};

  /// Sums are over distances from the channel's first element: however far from 0 the values lie, nothing cancels.
  using Context = Real;
  __device__ Context context(std::int64_t channel) const {
    if (count == 0) return Real{0};
    const Real value = cast<Real>(sum_inputs[0][channel * inner]);
    return value - value == Real{0} ? value : Real{0};
  }
  template <class P>
  __device__ static void add(P& first, P& second, Context reference, const Real (&values)[kSums]) {
    const auto distance = static_cast<P>(values[0] - reference);
    first += distance;
    second += distance * distance;
  }
  /// The mean and the inverse deviation.
  __device__ Pair finish(std::int64_t channel, const Pair& sums) const {
    Pair statistics{};  // mean, variance
    if (count > 0) {
      const auto n = static_cast<double>(count);
      const double distance = sums.first / n;
      statistics.first = static_cast<double>(context(channel)) + distance;
      const double squares = sums.second - sums.first * distance;
      statistics.second = squares < 0 ? 0 : squares / n;
      update(running_mean, channel, statistics.first);
      update(running_variance, channel, count > 1 ? squares < 0 ? 0 : squares / (n - 1) : statistics.second);
    }
    return saved(channel, statistics, true);
  }
  __device__ Pair still(std::int64_t channel, bool record) const {
    if (given) return {mean.get(channel, 0), inverse_deviation.get(channel, 1)};
    return saved(channel, {running_mean.get(channel, 0), running_variance.get(channel, 0)}, record);
  }

  using Line = NormalizeLine<Real>;
  __device__ Line line(std::int64_t channel, const Pair& numbers) const {
    const auto w = weight.read(channel), b = bias.read(channel);
    return {static_cast<Real>(numbers.first), static_cast<Real>(numbers.second * weight.value(w, 1)),
            static_cast<Real>(bias.value(b, 0))};
  }
  __device__ E element(const Line& line, const Real (&values)[kInputs]) const {
    if constexpr (kAdds)
      return result(line(values[0]), values[1]);
    else
      return result(line(values[0]));
  }

 private:
  __device__ void update(const ChannelNumbers& running, std::int64_t channel, double value) const {
    running.set(channel, (1 - momentum) * running.get(channel, 0) + momentum * value);
  }
  /// Rounded as they are kept, whether they are or not.
  __device__ Pair saved(std::int64_t channel, const Pair& statistics, bool record) const {
    const Pair kept{static_cast<double>(static_cast<Real>(statistics.first)),
                    static_cast<double>(static_cast<Real>(1 / std::sqrt(statistics.second + epsilon)))};
    if (record) {
      mean.set(channel, kept.first);
      inverse_deviation.set(channel, kept.second);
    }
    return kept;
  }
};

template <class E, bool kAdds>
void normalize_elements(const CudaBackend& backend, const NormalizeCall& call) {
  Forward<E, kAdds> op{};
  op.result = NormalizeResult<E>(call.relu);
  op.sum_inputs[0] = op.inputs[0] = elements<E>(call.x);
  if constexpr (kAdds) op.inputs[1] = elements<E>(call.residual);
  op.output = elements<E>(call.y);
  op.weight = ChannelNumbers(call.weight), op.bias = ChannelNumbers(call.bias);
  op.running_mean = ChannelNumbers(call.running_mean), op.running_variance = ChannelNumbers(call.running_variance);
  op.mean = ChannelNumbers(call.mean), op.inverse_deviation = ChannelNumbers(call.inverse_deviation);
  op.count = call.batch * call.inner, op.inner = call.inner;
  op.epsilon = call.epsilon, op.momentum = call.momentum, op.given = call.given;
  Division division;
  division.batch = call.batch, division.channels = call.channels, division.inner = call.inner;
  normalize_any(backend, op, division, call.training && !call.given, true);
}

}  // namespace

void CudaBackend::normalize(const NormalizeCall& call) {
  const ScratchLease lease = scratch();  // sums and elements are two launches
  if (call.channels == 0) return;
  visit_floating(call.x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    if (call.residual.defined())
      normalize_elements<E, true>(*this, call);
    else
      normalize_elements<E, false>(*this, call);
  });
}

}  // namespace mnemo::cuda
