#include <mnemo/core/cpu/conv.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/cpu/unfold.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

/// Weights as the left operand of the data gradient: a line per input channel, over (output channel, taking-part tap).
template <class T, class E>
class TransposedWeights final : public Operand<T> {
 public:
  TransposedWeights(const Unfolding& unfolding, const ConvProblem& problem, const E* weights)
      : unfolding_(unfolding),
        kernel_(problem.kernel),
        channels_(problem.in_channels / problem.groups),
        weights_(weights) {}

  void pack(std::int64_t line, std::int64_t lines, std::int64_t k, std::int64_t depth, int width,
            T* to) const override {
    const auto& [a0, a1, a2] = unfolding_.axes;
    const std::int64_t volume = kernel_[0] * kernel_[1] * kernel_[2];
    for (std::int64_t d = 0; d < depth; ++d) {
      const std::int64_t tap = (k + d) % unfolding_.taps(), channel = (k + d) / unfolding_.taps();
      const std::int64_t t0 = a0.first_tap + tap / (a1.taps * a2.taps) * a0.tap_step;
      const std::int64_t t1 = a1.first_tap + tap / a2.taps % a1.taps * a1.tap_step;
      const std::int64_t t2 = a2.first_tap + tap % a2.taps * a2.tap_step;
      const E* from = weights_ + (channel * channels_ + line) * volume + (t0 * kernel_[1] + t1) * kernel_[2] + t2;
      for (std::int64_t i = 0; i < lines; i += width) {
        const std::int64_t there = std::min<std::int64_t>(width, lines - i);
        T* place = to + i * depth + d * width;
        for (std::int64_t j = 0; j < there; ++j) place[j] = cast<T>(from[(i + j) * volume]);
        for (std::int64_t j = there; j < width; ++j) place[j] = T{0};
      }
    }
  }

 private:
  const Unfolding& unfolding_;
  const Size3 kernel_;
  const std::int64_t channels_;
  const E* weights_;
};

template <class E>
class Direct {
 public:
  using T = compute_type<E>;

  explicit Direct(const ConvCall& call)
      : p_(call.problem),
        input_(unfold_input(p_)),
        group_in_(p_.in_channels / p_.groups),
        group_out_(p_.out_channels / p_.groups),
        in_size_(input_.channel_size()),
        out_size_(input_.columns()),
        x_(call.x.data<E>()),
        w_(call.w.data<E>()),
        y_(call.y.data<E>()),
        bias_(call.bias.defined() ? call.bias.data<E>() : nullptr) {}

  /// y (K, places) = w (K, rows) * unfolded x (rows, places)
  void forward() const {
    const Tiling tiles = tiling<T>(group_out_, out_size_, input_.rows(), p_.batch * p_.groups);
    for_each_tile(tiles, p_.batch, input_.rows(), [&](Tile<T>& tile, std::int64_t image, std::int64_t group) {
      const MatrixOperand<T, E> weights(w_ + group * group_out_ * input_.rows(), input_.rows(), 1);
      const UnfoldedOperand<T, E> unfolded(input_, x_ + input_at(image, group), false);
      tile.add(weights, unfolded, input_.rows());
      store(tile, y_ + output_at(image, group), out_size_, 1, false,
            Bias<E>{bias_ == nullptr ? nullptr : bias_ + group * group_out_});
    });
  }

  /// w (K, rows) = sum over images of y (K, places) * transposed unfolded x (places, rows)
  void weight_gradient() const {
    const Tiling tiles = tiling<T>(group_out_, input_.rows(), p_.batch * out_size_, p_.groups);
    for_each_tile(tiles, 1, p_.batch * out_size_, [&](Tile<T>& tile, std::int64_t, std::int64_t group) {
      for (std::int64_t image = 0; image < p_.batch; ++image) {
        const MatrixOperand<T, E> gradient(y_ + output_at(image, group), out_size_, 1);
        const UnfoldedOperand<T, E> unfolded(input_, x_ + input_at(image, group), true);
        tile.add(gradient, unfolded, out_size_);
      }
      store<T, E>(tile, w_ + group * group_out_ * input_.rows(), input_.rows(), 1, false, {});
    });
  }

  /// x (C, places of a phase) = transposed w (C, rows) * unfolded y (rows, places), for each phase of the stride
  void data_gradient() const {
    Size3 phase;
    for (phase[0] = 0; phase[0] < std::min(p_.stride[0], p_.in[0]); ++phase[0])
      for (phase[1] = 0; phase[1] < std::min(p_.stride[1], p_.in[1]); ++phase[1])
        for (phase[2] = 0; phase[2] < std::min(p_.stride[2], p_.in[2]); ++phase[2]) data_gradient(phase);
  }

 private:
  void data_gradient(const Size3& phase) const {
    const Unfolding gradient = unfold_gradient(p_, phase);
    const Tiling tiles = tiling<T>(group_in_, gradient.columns(), gradient.rows(), p_.batch * p_.groups);
    for_each_tile(tiles, p_.batch, gradient.rows(), [&](Tile<T>& tile, std::int64_t image, std::int64_t group) {
      const TransposedWeights<T, E> weights(gradient, p_, w_ + group * group_out_ * input_.rows());
      const UnfoldedOperand<T, E> unfolded(gradient, y_ + output_at(image, group), false);
      tile.add(weights, unfolded, gradient.rows());
      store_phase(tile, gradient, phase, x_ + input_at(image, group));
    });
  }

  /// Spreads a tile's columns over the input elements of the phase.
  void store_phase(const Tile<T>& tile, const Unfolding& gradient, const Size3& phase, E* channels) const {
    const std::int64_t places1 = gradient.axes[1].places, places2 = gradient.axes[2].places;
    for (std::int64_t i = 0; i < tile.rows(); ++i) {
      E* channel = channels + (tile.row() + i) * in_size_;
      const T* from = tile.sums(i);
      std::int64_t place = tile.column();
      const std::int64_t end = place + tile.columns();
      while (place < end) {
        const std::int64_t q2 = place % places2, line = place / places2;
        const std::int64_t i0 = phase[0] + line / places1 * p_.stride[0], i1 = phase[1] + line % places1 * p_.stride[1];
        E* to = channel + (i0 * p_.in[1] + i1) * p_.in[2] + phase[2] + q2 * p_.stride[2];
        const std::int64_t run = std::min(places2 - q2, end - place);
        for (std::int64_t j = 0; j < run; ++j) to[j * p_.stride[2]] = cast<E>(from[j]);
        from += run;
        place += run;
      }
    }
  }

  /// Calls body(tile, image, group) for every tile of every product.
  template <class Body>
  void for_each_tile(const Tiling& tiles, std::int64_t images, std::int64_t depth, Body&& body) const {
    parallel_for(images * p_.groups * tiles.count(), tile_grain(tiles, depth),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t task = begin; task < end; ++task) {
                     const std::int64_t product = task / tiles.count();
                     auto tile = tiles.tile<T>(task % tiles.count());
                     body(tile, product / p_.groups, product % p_.groups);
                   }
                 });
  }

  std::int64_t input_at(std::int64_t image, std::int64_t group) const {
    return (image * p_.in_channels + group * group_in_) * in_size_;
  }
  std::int64_t output_at(std::int64_t image, std::int64_t group) const {
    return (image * p_.out_channels + group * group_out_) * out_size_;
  }

  const ConvProblem& p_;
  const Unfolding input_;
  const std::int64_t group_in_, group_out_, in_size_, out_size_;
  E* const x_;
  E* const w_;
  E* const y_;
  const E* const bias_;
};

/// Tiles have at least eight rows; with fewer channels most of their work would be on zeros.
bool has_few_channels(const ConvProblem& p, ConvPass pass) {
  const std::int64_t in = p.in_channels / p.groups, out = p.out_channels / p.groups;
  switch (pass) {
    case ConvPass::forward:
      return out <= 2 && in <= 4;
    case ConvPass::data_gradient:
      return in <= 2 && p.stride[2] == 1;
    case ConvPass::weight_gradient:
      break;
  }
  return in * out <= 4;
}

}  // namespace

void conv_direct(const ConvCall& call) {
  if (has_few_channels(call.problem, call.pass)) return conv_lines(call);
  visit_floating(call.problem.dtype, [&](auto zero) {
    const Direct<decltype(zero)> direct(call);
    switch (call.pass) {
      case ConvPass::forward:
        return direct.forward();
      case ConvPass::data_gradient:
        return direct.data_gradient();
      case ConvPass::weight_gradient:
        return direct.weight_gradient();
    }
  });
}

}  // namespace mnemo::cpu
