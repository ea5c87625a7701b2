// reduce, arg_max. Sums are taken in double (or int64), in an order that depends on the shape alone.
#include <limits>
#include <type_traits>
#include <vector>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>
#include <mnemo/core/visit_floating.h>

namespace mnemo::cpu {

namespace {

struct SumOf {
  template <class A>
  static A start() {
    return A{0};
  }
  template <class A>
  static A join(A a, A b) {
    return functors::Add::forward(a, b);
  }
};
struct MaxOf {
  template <class A>
  static A start() {
    return std::is_integral_v<A> ? std::numeric_limits<A>::min() : -std::numeric_limits<A>::infinity();
  }
  template <class A>
  static A join(A a, A b) {
    return a != a || a > b ? a : b;
  }
};
struct MinOf {
  template <class A>
  static A start() {
    return std::is_integral_v<A> ? std::numeric_limits<A>::max() : std::numeric_limits<A>::infinity();
  }
  template <class A>
  static A join(A a, A b) {
    return a != a || a < b ? a : b;
  }
};

/// x with the axes of `mask` removed or kept alone; the others stay at index 0.
Array select_axes(const Array& x, unsigned mask, bool keep) {
  Dims sizes, strides;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool reduced = (mask >> axis & 1u) != 0;
    if (reduced == keep) {
      sizes.push_back(x.size(axis));
      strides.push_back(x.strides()[axis]);
    }
  }
  return {x.storage(), {Shape(sizes), strides, x.layout().offset}, x.dtype()};
}

/// Elements that one partial result covers: small problems are one piece, large ones are cut for the threads.
constexpr std::int64_t kPiece = 65536;
/// Neighbouring outputs that are summed side by side when the reduced elements lie far apart.
constexpr std::int64_t kColumns = 128;

/// sums[c] = join of it and of element c of each row.
template <class Op, class A, class E>
void join_rows(const E* from, std::int64_t stride, std::int64_t rows, std::int64_t columns, A* sums) {
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {  // sums are read and written once for four of them
    const E* r[4];
    for (int i = 0; i < 4; ++i) r[i] = from + (row + i) * stride;
    for (std::int64_t c = 0; c < columns; ++c) {
      A sum = sums[c];
      for (const E* elements : r) sum = Op::join(sum, cast<A>(elements[c]));
      sums[c] = sum;
    }
  }
  for (; row < rows; ++row) {
    for (std::int64_t c = 0; c < columns; ++c) sums[c] = Op::join(sums[c], cast<A>(from[row * stride + c]));
  }
}

/// The join of a line's elements.
template <class Op, class A, class E>
A join_line(const E* from, std::int64_t stride, std::int64_t count) {
  constexpr std::int64_t kLanes = 32;  // independent sums, so that the processor need not wait for each addition
  A lanes[kLanes];
  std::fill(lanes, lanes + kLanes, Op::template start<A>());
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    if (stride == 1) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] = Op::join(lanes[lane], cast<A>(from[i + lane]));
    } else {
      for (std::int64_t lane = 0; lane < kLanes; ++lane)
        lanes[lane] = Op::join(lanes[lane], cast<A>(from[(i + lane) * stride]));
    }
  }
  for (; i < count; ++i) lanes[0] = Op::join(lanes[0], cast<A>(from[i * stride]));
  for (std::int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::int64_t lane = 0; lane < width; ++lane) lanes[lane] = Op::join(lanes[lane], lanes[lane + width]);
  }
  return lanes[0];
}

/// A: what is computed in. E: of what type elements are, or void: they are read through a buffer.
template <class Op, class A, class E>
void reduce_to(const Array& x, unsigned axes, double scale, const Array& out) {
  const Array kept = select_axes(x, axes, false);
  const Array reduced = select_axes(x, axes, true);
  const Array target = select_axes(out, axes, false);
  const Walk<2> outputs({&target, &kept});  // offsets of `kept` are where each output's elements begin
  const Walk<1> inputs({&reduced});
  const std::int64_t base = x.layout().offset;
  const std::int64_t pieces = std::max<std::int64_t>(1, (inputs.count() + kPiece - 1) / kPiece);
  const std::int64_t grain =
      std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, std::min(inputs.count(), kPiece)));
  std::vector<A> partial(static_cast<std::size_t>(pieces > 1 ? pieces * outputs.count() : 0));

  // Accumulates `columns` neighbouring outputs (stride 1 in x) or a single one over elements [from, to) of the reduced
  // space.
  const auto accumulate = [&](std::int64_t start, std::int64_t columns, std::int64_t from, std::int64_t to, A* sums) {
    std::fill(sums, sums + columns, Op::template start<A>());
    inputs.visit(from, to, [&](const auto& offsets, const auto& strides, std::int64_t length) {
      const std::int64_t at = start + offsets[0] - base;
      if constexpr (!std::is_void_v<E>) {
        const E* elements = reinterpret_cast<const E*>(x.storage()->data()) + at;
        if (columns > 1) return join_rows<Op, A, E>(elements, strides[0], length, columns, sums);
        sums[0] = Op::join(sums[0], join_line<Op, A, E>(elements, strides[0], length));
      } else {
        A buffer[kBuffer];
        if (columns > 1) {
          for (std::int64_t i = 0; i < length; ++i) {
            load(x, at + i * strides[0], 1, columns, buffer);
            join_rows<Op, A, A>(buffer, 0, 1, columns, sums);
          }
          return;
        }
        for (std::int64_t done = 0; done < length; done += kBuffer) {
          const std::int64_t count = std::min(kBuffer, length - done);
          load(x, at + done * strides[0], strides[0], count, buffer);
          sums[0] = Op::join(sums[0], join_line<Op, A, A>(buffer, 1, count));
        }
      }
    });
  };
  const auto finish = [&](A value, std::int64_t offset) {
    if (scale != 1) value = cast<A>(static_cast<double>(value) * scale);
    store(&value, 1, out, offset, 1);
  };

  parallel_for(outputs.count() * pieces, grain, [&](std::int64_t begin, std::int64_t end) {
    A sums[kColumns];
    while (begin < end) {  // items are numbered piece by piece: neighbours are outputs of the same piece
      const std::int64_t piece = begin / outputs.count();
      const std::int64_t first = begin % outputs.count();
      const std::int64_t last = std::min(outputs.count(), first + end - begin);
      const std::int64_t from = piece * kPiece, to = std::min(inputs.count(), from + kPiece);
      std::int64_t number = piece * outputs.count() + first;
      outputs.visit(first, last, [&](const auto& offsets, const auto& strides, std::int64_t length) {
        const std::int64_t width = strides[1] == 1 ? kColumns : 1;
        for (std::int64_t i = 0; i < length; i += width) {
          const std::int64_t columns = std::min(width, length - i);
          accumulate(offsets[1] + i * strides[1], columns, from, to, sums);
          for (std::int64_t c = 0; c < columns; ++c, ++number) {
            if (pieces > 1)
              partial[static_cast<std::size_t>(number)] = sums[c];
            else
              finish(sums[c], offsets[0] + (i + c) * strides[0]);
          }
        }
      });
      begin += last - first;
    }
  });
  if (pieces == 1) return;
  std::int64_t number = 0;
  outputs.visit(0, outputs.count(), [&](const auto& offsets, const auto& strides, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i, ++number) {
      A value = Op::template start<A>();
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        value = Op::join(value, partial[static_cast<std::size_t>(piece * outputs.count() + number)]);
      }
      finish(value, offsets[0] + i * strides[0]);
    }
  });
}

/// The first extreme element of those that are offered one after the other, and its number; of several NaN the first.
template <class E, bool smallest>
struct Extreme {
  using C = std::conditional_t<is_floating(dtype_of<E>()), compute_type<E>, E>;
  C value;
  std::int64_t place;

  void offer(C other, std::int64_t number) {
    const bool beyond = smallest ? other < value : other > value;
    const bool take = beyond || (other != other && value == value);
    value = take ? other : value;
    place = take ? number : place;
  }
};

template <class E, bool smallest>
void arg_extreme_to(const Array& x, int axis, const Array& out) {
  using Best = Extreme<E, smallest>;
  using C = typename Best::C;
  const Array kept = select_axes(x, 1u << axis, false);
  const Array target = select_axes(out, 1u << axis, false);
  const Walk<2> outputs({&target, &kept});
  const std::int64_t size = x.size(axis), stride = x.strides()[axis];
  const E* elements = reinterpret_cast<const E*>(x.storage()->data());
  auto* const places = reinterpret_cast<std::int64_t*>(out.storage()->data());
  parallel_for(outputs.count(), std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(size, 1)),
               [&](std::int64_t begin, std::int64_t end) {
                 outputs.visit(begin, end, [&](const auto& offsets, const auto& strides, std::int64_t length) {
                   // Neighbouring outputs side by side where their elements are neighbours.
                   const std::int64_t width = strides[1] == 1 ? kColumns : 1;
                   for (std::int64_t i = 0; i < length; i += width) {
                     const std::int64_t columns = std::min(width, length - i);
                     const E* from = elements + offsets[1] + i * strides[1];
                     Best bests[kColumns];
                     for (std::int64_t c = 0; c < columns; ++c) bests[c] = {cast<C>(from[c]), 0};
                     if (columns == 1) {
                       Best best = bests[0];
                       for (std::int64_t j = 1; j < size; ++j) best.offer(cast<C>(from[j * stride]), j);
                       bests[0] = best;
                     } else {
                       for (std::int64_t j = 1; j < size; ++j) {
                         for (std::int64_t c = 0; c < columns; ++c) bests[c].offer(cast<C>(from[j * stride + c]), j);
                       }
                     }
                     for (std::int64_t c = 0; c < columns; ++c)
                       places[offsets[0] + (i + c) * strides[0]] = bests[c].place;
                   }
                 });
               });
}

/// Sums of floating-point numbers in double, extremes in what holds every element.
template <class Op>
void reduce_as(const Array& x, unsigned axes, double scale, const Array& out) {
  if (!is_floating(x.dtype())) return reduce_to<Op, std::int64_t, void>(x, axes, scale, out);
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    reduce_to<Op, std::conditional_t<std::is_same_v<Op, SumOf>, double, compute_type<E>>, E>(x, axes, scale, out);
  });
}

}  // namespace

void CpuBackend::reduce(ReduceOp op, const Array& x, unsigned axes, double scale, const Array& out) {
  switch (op) {
    case ReduceOp::sum:
      return reduce_as<SumOf>(x, axes, scale, out);
    case ReduceOp::max:
      return reduce_as<MaxOf>(x, axes, scale, out);
    case ReduceOp::min:
      return reduce_as<MinOf>(x, axes, scale, out);
  }
}

void CpuBackend::arg_max(const Array& x, int axis, bool smallest, const Array& out) {
  visit(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    smallest ? arg_extreme_to<E, true>(x, axis, out) : arg_extreme_to<E, false>(x, axis, out);
  });
}

}  // namespace mnemo::cpu
