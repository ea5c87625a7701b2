// Resampling: an axis whose elements become weighted sums of neighbours on another one, longer or shorter. Which ones,
// and how much each counts, follows from whole numbers alone: no device keeps tables of them.
#pragma once

#include <cstdint>

#include <mnemo/core/host_device.h>

namespace mnemo {

enum class ResampleMode : std::uint8_t {
  nearest,  ///< the element below
  linear,   ///< the two next to it
  cubic,    ///< the four next to it: Keys, Cubic convolution interpolation for digital image processing, 1981, a = -3/4
  average   ///< the mean of those that it covers
};

/// a / b, rounded down and up, for b above 0.
template <class I>
MNEMO_HOST_DEVICE I floor_quotient(I a, I b) {
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}
template <class I>
MNEMO_HOST_DEVICE I ceil_quotient(I a, I b) {
  return a > 0 ? (a + b - 1) / b : -(-a / b);
}

/// What one element of the result is made of: of the elements `first` to `first + count - 1` of the axis; outside of
/// it, its first or last one is meant.
template <class I>
struct Taps {
  I first = 0, count = 1;
  I part = 0;  ///< how far behind an element it lies, in `unit`ths of the distance between two
};

/// One axis. I: what it counts in; every number below must fit. Defined for `in` and `out` above 0.
template <class I>
struct Resampling {
  ResampleMode mode = ResampleMode::nearest;
  I in = 1, out = 1;
  // Element i of the result lies at (i step + shift) / unit among those of the axis.
  I step = 1, shift = 0, unit = 1;

  Resampling() = default;
  /// Elements are as wide as the axis has room for, and are where their middles are (nearest, average: their
  /// beginnings); with `corners` the first and the last ones of both axes lie at the same places.
  Resampling(ResampleMode how, I from, I to, bool corners = false) : mode(how), in(from), out(to) {
    const bool between = mode == ResampleMode::linear || mode == ResampleMode::cubic;
    if (between && corners) {
      step = in - 1, unit = out > 1 ? out - 1 : 1;
    } else if (between) {
      step = 2 * in, shift = in - out, unit = 2 * out;
    } else {
      step = in, unit = out;
    }
  }
  /// The same, counted in another type.
  template <class J>
  explicit Resampling(const Resampling<J>& other)
      : mode(other.mode),
        in(static_cast<I>(other.in)),
        out(static_cast<I>(other.out)),
        step(static_cast<I>(other.step)),
        shift(static_cast<I>(other.shift)),
        unit(static_cast<I>(other.unit)) {}

  bool changes_nothing() const { return in == out; }

  MNEMO_HOST_DEVICE Taps<I> taps(I i) const {
    const I place = i * step + shift, below = floor_quotient(place, unit);
    if (mode == ResampleMode::average) return {below, ceil_quotient(place + step, unit) - below, 0};
    const I part = mode == ResampleMode::nearest ? 0 : place - below * unit;
    if (part == 0) return {below, 1, 0};  // others count for 0, whatever they are
    return mode == ResampleMode::linear ? Taps<I>{below, 2, part} : Taps<I>{below - 1, 4, part};
  }

  /// How much tap number t counts.
  template <class T>
  MNEMO_HOST_DEVICE T weight(const Taps<I>& taps, I t) const {
    if (taps.count == 1) return T{1};
    if (mode == ResampleMode::average) return T{1} / static_cast<T>(taps.count);
    const T part = static_cast<T>(taps.part) / static_cast<T>(unit);
    if (mode == ResampleMode::linear) return t == 0 ? T{1} - part : part;
    constexpr T a = T{-0.75};
    const bool inner = t == 1 || t == 2;
    const T distance = t < 2 ? part + static_cast<T>(1 - t) : static_cast<T>(t - 1) - part;
    return inner ? ((a + T{2}) * distance - (a + T{3})) * distance * distance + T{1}
                 : ((a * distance - T{5} * a) * distance + T{8} * a) * distance - T{4} * a;
  }

  /// The element that a tap means.
  MNEMO_HOST_DEVICE I inside(I place) const { return place < 0 ? 0 : place < in ? place : in - 1; }

  /// The elements [from, until) of the result that element j may count for; no others have it among their taps.
  struct Reach {
    I from, until;
  };
  MNEMO_HOST_DEVICE Reach reach(I j) const {
    if (step == 0) return {0, out};  // there is one element
    if (mode == ResampleMode::average) return {floor_quotient(j * out, in), ceil_quotient((j + 1) * out, in)};
    const I before = mode == ResampleMode::cubic ? 1 : 0;  // the element below
    const I behind = mode == ResampleMode::cubic ? 2 : mode == ResampleMode::linear ? 1 : 0;
    const I from = ceil_quotient((j - behind) * unit - shift, step);
    const I until = ceil_quotient((j + before + 1) * unit - shift, step);
    return {j == 0 || from < 0 ? 0 : from, j == in - 1 || until > out ? out : until};
  }
  /// How much element j counts for element i of the result.
  template <class T>
  MNEMO_HOST_DEVICE T weight_of(I j, I i) const {
    const Taps<I> of = taps(i);
    if (mode == ResampleMode::average) return weight<T>(of, 0);
    T sum{0};
    for (I t = 0; t < of.count; ++t) {
      if (inside(of.first + t) == j) sum += weight<T>(of, t);
    }
    return sum;
  }
};

/// Arrays are (planes, sizes, inner) without gaps, as those of a PoolProblem; three axes, of which those behind do
/// something.
struct ResampleProblem {
  std::int64_t planes = 1, inner = 1;
  Resampling<std::int64_t> axes[3] = {};
};

}  // namespace mnemo
