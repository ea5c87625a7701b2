// What both directions of row_norm walk on the CPU: rows as runs of elements whose numbers of their channels lie side
// by side, or are the same. Private.
#pragma once

#include <type_traits>

#include <mnemo/core/cpu/channel_tiles.h>
#include <mnemo/core/cpu/independent.h>

namespace mnemo::cpu {

/// A number for each element of a run: those of its channels, one for all of them, or one where there are none.
template <class T, class W>
struct Numbers {
  const W* of_channels;
  T otherwise;

  Numbers(const Array& array, T value) : of_channels(array.defined() ? array.data<W>() : nullptr), otherwise(value) {}
  T at(std::int64_t channel) const { return of_channels == nullptr ? otherwise : cast<T>(of_channels[channel]); }
  /// Calls f(what gives the number of element i of a run) for the run that begins with `channel`: all of it, or as
  /// many channels as it has elements.
  template <class F>
  void visit(std::int64_t channel, bool one, const F& f) const {
    if (one || of_channels == nullptr) return f([value = at(channel)](std::int64_t) { return value; });
    f([from = of_channels + channel](std::int64_t i) { return cast<T>(from[i]); });
  }
};

/// Calls body(place of its first element, elements, its first channel) for each run of a row.
template <class Body>
void for_each_run(const RowNormSizes& sizes, std::int64_t row, const Body& body) {
  const std::int64_t channel = sizes.first_channel(row), begin = row * sizes.features;
  const std::int64_t length = sizes.inner == 1 ? sizes.features : sizes.inner;
  for (std::int64_t at = 0; at < sizes.features; at += length) body(begin + at, length, channel + at / sizes.inner);
}

/// What is added to `sums` for elements 0 to count - 1, where term(i, few) adds those of element i to `few`: in T are
/// the sums of kFew elements, which lose next to nothing, and conversions to double are for few.
template <class T, int kSums, class Term>
void add_in_few(std::int64_t count, double (&sums)[kSums], const Term& term) {
  constexpr std::int64_t kFew = 8, kHalf = kLanes / 2, kQuarter = kLanes / 4;
  double lanes[kSums][kLanes] = {};
  const auto add = [&](auto few_of_lane, std::int64_t begin, std::int64_t width) {
    for (std::int64_t lane = 0; lane < width; ++lane) {
      T few[kSums] = {};
      for (std::int64_t k = 0; k < few_of_lane; ++k) term(begin + k * kLanes + lane, few);
      for (int s = 0; s < kSums; ++s) lanes[s][lane] += static_cast<double>(few[s]);
    }
  };
  constexpr std::integral_constant<std::int64_t, kFew> several;
  constexpr std::integral_constant<std::int64_t, 1> one;
  std::int64_t i = 0;
  for (; i + kFew * kLanes <= count; i += kFew * kLanes) add(several, i, kLanes);
  for (; i + kLanes <= count; i += kLanes) add(one, i, kLanes);
  add(one, i, count - i);
  for (int s = 0; s < kSums; ++s) {  // in halves: one after the other would wait for each addition
    double(&l)[kLanes] = lanes[s];
    if (count > kQuarter) {
      for (std::int64_t lane = 0; lane < kHalf; ++lane) l[lane] += l[lane + kHalf];
      for (std::int64_t lane = 0; lane < kQuarter; ++lane) l[lane] += l[lane + kQuarter];
    }
    sums[s] += ((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7]));
  }
}

}  // namespace mnemo::cpu
