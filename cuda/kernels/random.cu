// random, dropout: element i takes word `offset + i` of the Philox stream of `seed`; a thread makes four elements, the
// words of one block.
#include <cmath>

#include <mnemo/core/philox.h>
#include <mnemo/core/random.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

constexpr int kWords = 4;

/// The part of a stream that a call takes; of a repeated step it begins elsewhere each time.
struct Words {
  std::uint64_t seed, offset;
  const std::int64_t* shift;

  template <class Call>
  explicit Words(const Call& call) : seed(call.seed), offset(call.offset), shift(elements<std::int64_t>(call.shift)) {}
  __device__ std::uint64_t first() const {
    return offset + (shift != nullptr ? static_cast<std::uint64_t>(*shift) : 0);
  }
};

/// A RandomCall without what only the host knows.
struct Distribution {
  RandomCall::Kind kind;
  double low, high;
};

/// Words first to first + 3 of a stream: one block where `first` is a multiple of four, as it usually is.
__device__ inline void words_from(std::uint64_t seed, std::uint64_t first, std::uint32_t (&words)[kWords]) {
  const auto shift = static_cast<int>(first % kWords);
  const Philox4 block = philox_block(seed, first / kWords);
  if (shift == 0) {
    for (int i = 0; i < kWords; ++i) words[i] = block.words[i];
    return;
  }
  const Philox4 next = philox_block(seed, first / kWords + 1);
  for (int i = 0; i < kWords; ++i) {
    for (int from = 0; from < 2 * kWords; ++from) {  // no index that depends on data: words stay in registers
      if (from == i + shift) words[i] = from < kWords ? block.words[from % kWords] : next.words[from % kWords];
    }
  }
}

/// Four elements at `at` of `count`, as many as there are; `vectors` says that they can be moved as packs.
template <class T>
__device__ void read_four(const T* from, std::int64_t at, std::int64_t count, bool vectors, T (&to)[kWords]) {
  constexpr int N = std::min(kPerVector<T>, kWords);
  if (vectors && at + kWords <= count) {
    for (int i = 0; i < kWords; i += N) {
      const Pack<T, N> pack = load<N>(from + at + i);
      for (int j = 0; j < N; ++j) to[i + j] = pack.values[j];
    }
  } else {
    for (int i = 0; i < kWords; ++i) to[i] = at + i < count ? from[at + i] : T{};
  }
}
template <class T>
__device__ void write_four(const T (&from)[kWords], T* to, std::int64_t at, std::int64_t count, bool vectors) {
  constexpr int N = std::min(kPerVector<T>, kWords);
  if (vectors && at + kWords <= count) {
    for (int i = 0; i < kWords; i += N) {
      Pack<T, N> pack;
      for (int j = 0; j < N; ++j) pack.values[j] = from[i + j];
      store(pack, to + at + i);
    }
  } else {
    for (int i = 0; i < kWords; ++i) {
      if (at + i < count) to[at + i] = from[i];
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    draw(Distribution call, Words stream, UniformLimits limits, bool vectors, T* out, std::int64_t count) {
  const std::uint64_t first = stream.first();
  const std::int64_t fours = (count + kWords - 1) / kWords;
  for (std::int64_t four = first_item(); four < fours; four += item_step()) {
    std::uint32_t words[kWords];
    words_from(stream.seed, first + static_cast<std::uint64_t>(four) * kWords, words);
    double values[kWords];
    const double range = call.high - call.low;
    for (int i = 0; i < kWords; ++i) {
      switch (call.kind) {
        case RandomCall::Kind::uniform: {
          const double value = add_product(call.low, range, static_cast<double>(uniform_from(words[i])));
          const double limited = value < limits.most ? value : limits.most;
          values[i] = limits.least < limited ? limited : limits.least;
          break;
        }
        case RandomCall::Kind::integer:
          values[i] = call.low + std::floor(range * (static_cast<double>(words[i]) * 0x1p-32));
          break;
        case RandomCall::Kind::normal:
          if (i % 2 == 0) {
            double pair[2];
            normal_from(words[i], words[i + 1], pair[0], pair[1]);
            for (int j = 0; j < 2; ++j) values[i + j] = add_product(call.low, call.high, pair[j]);
          }
          break;
      }
    }
    T elements[kWords];
    for (int i = 0; i < kWords; ++i) elements[i] = cast<T>(values[i]);
    write_four(elements, out, four * kWords, count, vectors);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    drop(double p, Words stream, double scale, bool vectors, const T* x, T* out, std::int64_t count) {
  using C = compute_type<T>;
  const auto keep = static_cast<float>(p);
  const std::uint64_t first = stream.first();
  const std::int64_t fours = (count + kWords - 1) / kWords;
  for (std::int64_t four = first_item(); four < fours; four += item_step()) {
    const std::int64_t at = four * kWords;
    T values[kWords];
    read_four(x, at, count, vectors, values);
    std::uint32_t words[kWords];
    words_from(stream.seed, first + static_cast<std::uint64_t>(at), words);
    for (int i = 0; i < kWords; ++i) {
      const C value = cast<C>(values[i]) * static_cast<C>(scale);
      values[i] = cast<T>(uniform_from(words[i]) >= keep ? value : C{0});
    }
    write_four(values, out, at, count, vectors);
  }
}

}  // namespace

void CudaBackend::random(const RandomCall& call, const Array& out) {
  if (out.numel() == 0) return;
  const UniformLimits limits = uniform_limits(call.low, call.high, out.dtype());
  visit(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(*this, blocks_for(*this, (out.numel() + kWords - 1) / kWords), kThreads, draw<T>,
           Distribution{call.kind, call.low, call.high}, Words(call), limits, is_aligned(out), elements<T>(out),
           out.numel());
  });
}

void CudaBackend::dropout(const DropoutCall& call, const Array& x, const Array& out) {
  if (out.numel() == 0) return;
  const double scale = call.p < 1 ? 1 / (1 - call.p) : 0;
  visit_floating(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(*this, blocks_for(*this, (out.numel() + kWords - 1) / kWords), kThreads, drop<T>, call.p, Words(call), scale,
           is_aligned(x) && is_aligned(out), elements<T>(x), elements<T>(out), out.numel());
  });
}

}  // namespace mnemo::cuda
