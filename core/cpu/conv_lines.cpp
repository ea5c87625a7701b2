// Convolution line by line, for groups of so few channels that tiles of a product would be mostly padding (depthwise).
#include <mnemo/core/cpu/conv.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>

namespace mnemo::cpu {

namespace {

/// Places [begin, end) of a line.
struct Range {
  std::int64_t begin = 0, end = 0;
};

template <class E>
class Lines {
 public:
  using T = compute_type<E>;

  explicit Lines(const ConvCall& call)
      : p_(call.problem),
        group_in_(p_.in_channels / p_.groups),
        group_out_(p_.out_channels / p_.groups),
        x_(call.x.data<E>()),
        w_(call.w.data<E>()),
        y_(call.y.data<E>()),
        bias_(call.bias.defined() ? call.bias.data<E>() : nullptr) {}

  void forward() const {
    for_each(p_.batch * p_.out_channels, volume(p_.out) * group_in_, [&](std::int64_t plane) {
      for_each_piece(p_.out,
                     [&](std::int64_t o0, std::int64_t o1, Range piece) { forward_piece(plane, o0, o1, piece); });
    });
  }

  void data_gradient() const {
    for_each(p_.batch * p_.in_channels, volume(p_.out) * group_out_, [&](std::int64_t plane) {
      for_each_piece(p_.in,
                     [&](std::int64_t i0, std::int64_t i1, Range piece) { gradient_piece(plane, i0, i1, piece); });
    });
  }

  void weight_gradient() const {
    for_each(p_.out_channels * group_in_, volume(p_.out) * p_.batch, [&](std::int64_t pair) {
      E* to = w_ + pair * volume(p_.kernel);
      for (std::int64_t t0 = 0; t0 < p_.kernel[0]; ++t0)
        for (std::int64_t t1 = 0; t1 < p_.kernel[1]; ++t1)
          for (std::int64_t t2 = 0; t2 < p_.kernel[2]; ++t2) *to++ = cast<E>(correlation(pair, {t0, t1, t2}));
    });
  }

 private:
  static constexpr std::int64_t kPiece = 512;
  static constexpr std::int64_t kLanes = 16;

  static std::int64_t volume(const Size3& size) { return size[0] * size[1] * size[2]; }

  /// Calls body(i) on several threads; each call works on `places` per tap.
  template <class Body>
  void for_each(std::int64_t count, std::int64_t places, const Body& body) const {
    const std::int64_t grain = 32768 / std::max<std::int64_t>(1, places * volume(p_.kernel));
    parallel_for(count, std::max<std::int64_t>(1, grain), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) body(i);
    });
  }

  template <class Body>
  static void for_each_piece(const Size3& size, const Body& body) {
    for (std::int64_t a = 0; a < size[0]; ++a)
      for (std::int64_t b = 0; b < size[1]; ++b)
        for (std::int64_t c = 0; c < size[2]; c += kPiece) body(a, b, Range{c, std::min(size[2], c + kPiece)});
  }

  std::int64_t input(std::size_t d, std::int64_t place, std::int64_t tap) const {
    return place * p_.stride[d] - p_.padding[d] + tap * p_.dilation[d];
  }
  bool inside(std::size_t d, std::int64_t i) const { return i >= 0 && i < p_.in[d]; }

  /// Places q of a line for which low <= input(q) < high.
  Range reading(std::int64_t tap, std::int64_t low, std::int64_t high) const {
    const std::int64_t first = input(2, 0, tap), step = p_.stride[2];
    auto at_least = [&](std::int64_t bound) { return bound <= first ? 0 : (bound - first + step - 1) / step; };
    return {std::min(at_least(low), p_.out[2]), std::min(at_least(high), p_.out[2])};
  }

  void forward_piece(std::int64_t plane, std::int64_t o0, std::int64_t o1, Range piece) const {
    const std::int64_t image = plane / p_.out_channels, k = plane % p_.out_channels, step = p_.stride[2];
    T sums[kPiece];
    std::fill_n(sums, piece.end - piece.begin, bias_ == nullptr ? T{0} : cast<T>(bias_[k]));
    for (std::int64_t c = 0; c < group_in_; ++c) {
      const E* channel = x_ + (image * p_.in_channels + k / group_out_ * group_in_ + c) * volume(p_.in);
      const E* taps = w_ + (k * group_in_ + c) * volume(p_.kernel);
      for_each_tap(o0, o1, [&](std::int64_t line, std::int64_t tap, std::int64_t t2) {
        const Range there = reading(t2, 0, p_.in[2]);
        const std::int64_t from = std::max(there.begin, piece.begin), until = std::min(there.end, piece.end);
        if (from >= until) return;
        const E* values = channel + line * p_.in[2] + input(2, from, t2);
        const T weight = cast<T>(taps[tap]);
        T* to = sums + (from - piece.begin);
        if (step == 1) {
          for (std::int64_t i = 0; i < until - from; ++i) to[i] += weight * cast<T>(values[i]);
        } else {
          for (std::int64_t i = 0; i < until - from; ++i) to[i] += weight * cast<T>(values[i * step]);
        }
      });
    }
    E* y = y_ + plane * volume(p_.out) + (o0 * p_.out[1] + o1) * p_.out[2];
    for (std::int64_t q = piece.begin; q < piece.end; ++q) y[q] = cast<E>(sums[q - piece.begin]);
  }

  /// Calls body(line of the input, tap of the kernel, its last index) for taps of an output line that lie inside.
  template <class Body>
  void for_each_tap(std::int64_t o0, std::int64_t o1, const Body& body) const {
    for (std::int64_t t0 = 0; t0 < p_.kernel[0]; ++t0) {
      const std::int64_t i0 = input(0, o0, t0);
      if (!inside(0, i0)) continue;
      for (std::int64_t t1 = 0; t1 < p_.kernel[1]; ++t1) {
        const std::int64_t i1 = input(1, o1, t1);
        if (!inside(1, i1)) continue;
        for (std::int64_t t2 = 0; t2 < p_.kernel[2]; ++t2) {
          body(i0 * p_.in[1] + i1, (t0 * p_.kernel[1] + t1) * p_.kernel[2] + t2, t2);
        }
      }
    }
  }

  /// The output place whose tap reads element i, or -1.
  std::int64_t place(std::size_t d, std::int64_t i, std::int64_t tap) const {
    const std::int64_t distance = i - input(d, 0, tap);
    if (distance < 0 || distance % p_.stride[d] != 0 || distance / p_.stride[d] >= p_.out[d]) return -1;
    return distance / p_.stride[d];
  }

  void gradient_piece(std::int64_t plane, std::int64_t i0, std::int64_t i1, Range piece) const {
    const std::int64_t image = plane / p_.in_channels, c = plane % p_.in_channels, step = p_.stride[2];
    T sums[kPiece] = {};
    for (std::int64_t t0 = 0; t0 < p_.kernel[0]; ++t0) {
      const std::int64_t o0 = place(0, i0, t0);
      if (o0 < 0) continue;
      for (std::int64_t t1 = 0; t1 < p_.kernel[1]; ++t1) {
        const std::int64_t o1 = place(1, i1, t1);
        if (o1 < 0) continue;
        for (std::int64_t t2 = 0; t2 < p_.kernel[2]; ++t2) {
          const Range there = reading(t2, piece.begin, piece.end);
          if (there.begin >= there.end) continue;
          T* to = sums + (input(2, there.begin, t2) - piece.begin);
          for (std::int64_t k = c / group_in_ * group_out_; k < (c / group_in_ + 1) * group_out_; ++k) {
            const std::int64_t tap = (t0 * p_.kernel[1] + t1) * p_.kernel[2] + t2;
            const T weight = cast<T>(w_[(k * group_in_ + c % group_in_) * volume(p_.kernel) + tap]);
            const E* from =
                y_ + (image * p_.out_channels + k) * volume(p_.out) + (o0 * p_.out[1] + o1) * p_.out[2] + there.begin;
            if (step == 1) {
              for (std::int64_t i = 0; i < there.end - there.begin; ++i) to[i] += weight * cast<T>(from[i]);
            } else {
              for (std::int64_t i = 0; i < there.end - there.begin; ++i) to[i * step] += weight * cast<T>(from[i]);
            }
          }
        }
      }
    }
    E* x = x_ + plane * volume(p_.in) + (i0 * p_.in[1] + i1) * p_.in[2];
    for (std::int64_t i = piece.begin; i < piece.end; ++i) x[i] = cast<E>(sums[i - piece.begin]);
  }

  /// Sum over the batch of gradient times input for one weight; in lanes, so that the compiler can use vectors.
  T correlation(std::int64_t pair, const Size3& tap) const {
    const std::int64_t k = pair / group_in_, c = k / group_out_ * group_in_ + pair % group_in_, step = p_.stride[2];
    const Range there = reading(tap[2], 0, p_.in[2]);
    const std::int64_t count = there.end - there.begin;
    if (count <= 0) return T{0};
    T lanes[kLanes] = {};
    for (std::int64_t image = 0; image < p_.batch; ++image) {
      const E* channel = x_ + (image * p_.in_channels + c) * volume(p_.in);
      const E* grad = y_ + (image * p_.out_channels + k) * volume(p_.out) + there.begin;
      for (std::int64_t o0 = 0; o0 < p_.out[0]; ++o0) {
        const std::int64_t i0 = input(0, o0, tap[0]);
        if (!inside(0, i0)) continue;
        for (std::int64_t o1 = 0; o1 < p_.out[1]; ++o1) {
          const std::int64_t i1 = input(1, o1, tap[1]);
          if (!inside(1, i1)) continue;
          add_products(channel + (i0 * p_.in[1] + i1) * p_.in[2] + input(2, there.begin, tap[2]), step,
                       grad + (o0 * p_.out[1] + o1) * p_.out[2], count, lanes);
        }
      }
    }
    T sum = 0;
    for (const T lane : lanes) sum += lane;
    return sum;
  }

  static void add_products(const E* x, std::int64_t step, const E* grad, std::int64_t count, T* lanes) {
    std::int64_t i = 0;
    if (step == 1) {
      for (; i + kLanes <= count; i += kLanes) {
        for (std::int64_t lane = 0; lane < kLanes; ++lane)
          lanes[lane] += cast<T>(x[i + lane]) * cast<T>(grad[i + lane]);
      }
    }
    for (; i < count; ++i) lanes[i % kLanes] += cast<T>(x[i * step]) * cast<T>(grad[i]);
  }

  const ConvProblem& p_;
  const std::int64_t group_in_, group_out_;
  E* const x_;
  E* const w_;
  E* const y_;
  const E* const bias_;
};

}  // namespace

void conv_lines(const ConvCall& call) {
  visit_floating(call.problem.dtype, [&](auto zero) {
    const Lines<decltype(zero)> lines(call);
    switch (call.pass) {
      case ConvPass::forward:
        return lines.forward();
      case ConvPass::data_gradient:
        return lines.data_gradient();
      case ConvPass::weight_gradient:
        return lines.weight_gradient();
    }
  });
}

}  // namespace mnemo::cpu
