// normalize: the statistics of every channel in one pass, from a place near the mean, and what they make of the
// elements.
#include <cmath>

#include <mnemo/cuda/kernels/normalize.h>

namespace mnemo::cuda {

namespace {

template <class E>
struct Forward {
  using Element = E;
  using Real = compute_type<E>;
  static constexpr int kInputs = 1;

  const E* inputs[kInputs];
  E* output;
  ChannelNumbers weight, bias, running_mean, running_variance, mean, inverse_deviation;
  std::int64_t count, inner;
  double epsilon, momentum;

  /// Sums are over distances from the channel's first element: however far from 0 the values lie, nothing cancels.
  __device__ Real reference(std::int64_t channel) const {
    if (count == 0) return Real{0};
    const Real value = cast<Real>(inputs[0][channel * inner]);
    return value - value == Real{0} ? value : Real{0};
  }
  __device__ static void add(Pair& sums, Real reference, const Real (&values)[kInputs]) {
    const auto distance = static_cast<double>(values[0] - reference);
    sums.first += distance;
    sums.second += distance * distance;
  }
  /// The mean and the inverse deviation.
  __device__ Pair finish(std::int64_t channel, const Pair& sums) const {
    Pair statistics{};  // mean, variance
    if (count > 0) {
      const auto n = static_cast<double>(count);
      const double distance = sums.first / n;
      statistics.first = static_cast<double>(reference(channel)) + distance;
      const double squares = sums.second - sums.first * distance;
      statistics.second = squares < 0 ? 0 : squares / n;
      update(running_mean, channel, statistics.first);
      update(running_variance, channel, count > 1 ? squares < 0 ? 0 : squares / (n - 1) : statistics.second);
    }
    return saved(channel, statistics, true);
  }
  __device__ Pair still(std::int64_t channel, bool record) const {
    return saved(channel, {running_mean.get(channel, 0), running_variance.get(channel, 0)}, record);
  }

  struct Line {
    Real mean, scale, shift;
    __device__ Real operator()(const Real (&values)[kInputs]) const { return (values[0] - mean) * scale + shift; }
  };
  __device__ Line line(std::int64_t channel, const Pair& numbers) const {
    return {static_cast<Real>(numbers.first), static_cast<Real>(numbers.second * weight.get(channel, 1)),
            static_cast<Real>(bias.get(channel, 0))};
  }

 private:
  __device__ void update(const ChannelNumbers& running, std::int64_t channel, double value) const {
    running.set(channel, (1 - momentum) * running.get(channel, 0) + momentum * value);
  }
  __device__ Pair saved(std::int64_t channel, const Pair& statistics, bool record) const {
    const Pair result{statistics.first, 1 / std::sqrt(statistics.second + epsilon)};
    if (record) {
      mean.set(channel, result.first);
      inverse_deviation.set(channel, result.second);
    }
    return result;
  }
};

}  // namespace

void CudaBackend::normalize(const NormalizeCall& call) {
  const ScratchLease lease = scratch();  // sums and elements are two launches
  if (call.channels == 0) return;
  visit_floating(call.x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    Forward<E> op{};
    op.inputs[0] = elements<E>(call.x);
    op.output = elements<E>(call.y);
    op.weight = ChannelNumbers(call.weight), op.bias = ChannelNumbers(call.bias);
    op.running_mean = ChannelNumbers(call.running_mean), op.running_variance = ChannelNumbers(call.running_variance);
    op.mean = ChannelNumbers(call.mean), op.inverse_deviation = ChannelNumbers(call.inverse_deviation);
    op.count = call.batch * call.inner, op.inner = call.inner;
    op.epsilon = call.epsilon, op.momentum = call.momentum;
    Division division;
    division.batch = call.batch, division.channels = call.channels, division.inner = call.inner;
    normalize_any(*this, op, division, call.training, true);
  });
}

}  // namespace mnemo::cuda
