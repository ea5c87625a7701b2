// The gradients of row_norm's weight and bias: batch normalization's sums of each channel, with the mean and the
// deviation of the row that an element is in.
#include <mnemo/cuda/kernels/normalize.h>
#include <mnemo/cuda/kernels/row_norm.h>

namespace mnemo::cuda {

namespace {

template <class E>
struct ChannelGradients {
  using Element = E;
  using Real = compute_type<E>;
  static constexpr int kSums = 2;
  static constexpr bool kKeeps = false, kOfImages = true, kElements = false;

  const E* sum_inputs[kSums];              ///< the gradient, x
  const Real* means;               ///< of each row; or none, which are taken to be 0
  const Real* inverse_deviations;  ///< of each row; or none, where bias's gradient alone is wanted
  ChannelNumbers dweight, dbias;
  std::int64_t groups, channels_of_row;

  /// Of a channel: which of an image's rows it is in.
  using Context = std::int64_t;
  __device__ Context context(std::int64_t channel) const { return groups == 1 ? 0 : channel / channels_of_row; }
  struct Row {
    Real mean, inverse_deviation;
  };
  __device__ Row context(Context group, std::int64_t n) const {
    if (inverse_deviations == nullptr) return {};
    const std::int64_t number = n * groups + group;
    return {means == nullptr ? Real{0} : means[number], inverse_deviations[number]};
  }
  template <class P>
  __device__ static void add(P& first, P& second, const Row& row, const Real (&values)[kSums]) {
    first += static_cast<P>(values[0]);
    second += static_cast<P>(values[0]) * static_cast<P>((values[1] - row.mean) * row.inverse_deviation);
  }
  __device__ Pair finish(std::int64_t channel, const Pair& sums) const {
    dbias.set(channel, sums.first);
    dweight.set(channel, sums.second);
    return sums;
  }
};

}  // namespace

void give_channel_gradients(const CudaBackend& backend, const RowNormGradientCall& call) {
  const RowNormSizes& sizes = call.sizes;
  if (sizes.channels == 0) return;
  const ScratchLease lease = backend.scratch();
  visit_floating(call.grad.dtype(), [&](auto zero) {
    using E = decltype(zero);
    ChannelGradients<E> op{};
    op.sum_inputs[0] = elements<E>(call.grad);
    op.sum_inputs[1] = elements<E>(call.dweight.defined() ? call.x : call.grad);  // of which any values serve
    if (call.dweight.defined()) {
      if (call.centered) op.means = elements<compute_type<E>>(call.mean);
      op.inverse_deviations = elements<compute_type<E>>(call.inverse_deviation);
    }
    op.dweight = ChannelNumbers(call.dweight), op.dbias = ChannelNumbers(call.dbias);
    op.groups = sizes.groups(), op.channels_of_row = sizes.channels / op.groups;
    Division division;
    division.batch = sizes.batch(), division.channels = sizes.channels, division.inner = sizes.inner;
    normalize_any(backend, op, division, true, false);
  });
}

}  // namespace mnemo::cuda
