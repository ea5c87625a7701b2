// The kernel of batch normalization where the channels are innermost: every element has its own. Private: device code.
#pragma once

#include <mnemo/cuda/kernels/normalize_channels.h>

namespace mnemo::cuda {

/// As for planes; every channel of a pack has sums of its own.
template <int V>
inline constexpr int kPointBlocks = V > 4   ? 2
                                    : V > 1 ? 3
                                            : 4;
/// Rows that are added up in Partial before they go to a double: the same for any number of inputs but one, so that
/// what is computed in one pass has the bits of what is computed in two.
template <class E, int V, int K>
inline constexpr int kPointRows = V > 4 && K == 1                     ? 6
                                  : V == 1 && K == 1 && sizeof(E) < 8 ? 8
                                                                      : 4;
/// Of these the ones that a thread is loading at once.
template <class E, int V, int K>
inline constexpr int kPointLoads = K < 3 && (V > 4 || K == 1 || V == 1) ? kPointRows<E, V, K> : 2;

/// The packs of a column of (batch, channels) that a thread has. The first are on the way from the beginning, while the
/// numbers of the channels are still read.
template <int V, class E, int K>
class Column {
 public:
  __device__ Column(const E* const (&inputs)[K], const Division& d, bool backwards, bool active, std::int64_t column,
                    std::int64_t first, std::int64_t step)
      : inputs_(inputs) {
    const std::int64_t row = d.channels / V;
    left_ = active && first < d.batch ? (d.batch - first + step - 1) / step : 0;
    n_ = backwards ? d.batch - 1 - first : first, step_ = backwards ? -step : step;
    place_ = n_ * row + column;
    stride_ = (backwards ? -step : step) * row;
    if (left_ >= kRows) load();
  }
  /// body(place, image, packs of the inputs), and `flush()` after every kRows.
  template <class Body, class Flush>
  __device__ void visit(const Body& body, const Flush& flush) {
    for (bool loaded = true; left_ >= kRows; left_ -= kRows) {
#pragma unroll 1
      for (int turn = 0; turn < kRows / kLoads; ++turn) {
        if (!loaded) load();
        loaded = false;
#pragma unroll
        for (int u = 0; u < kLoads; ++u) body(place_ + u * stride_, n_ + u * step_, packs_[u]);
        advance();
      }
      flush();
    }
    for (; left_ > 0; left_ -= kLoads) {
#pragma unroll
      for (int u = 0; u < kLoads; ++u) {
        if (u < left_) load_packs<V>(inputs_, place_ + u * stride_, packs_[u]);
      }
#pragma unroll
      for (int u = 0; u < kLoads; ++u) {
        if (u < left_) body(place_ + u * stride_, n_ + u * step_, packs_[u]);
      }
      advance();
    }
    flush();
  }

 private:
  static constexpr int kRows = kPointRows<E, V, K>, kLoads = kPointLoads<E, V, K>;

  __device__ void advance() { place_ += kLoads * stride_, n_ += kLoads * step_; }
  __device__ void load() {
#pragma unroll
    for (int u = 0; u < kLoads; ++u) load_packs<V>(inputs_, place_ + u * stride_, packs_[u]);
  }

  const E* const (&inputs_)[K];
  std::int64_t left_, place_, stride_, n_, step_;
  Raw<E, V> packs_[kLoads][K];
};

/// The threads of a block by the number of a tile that is theirs: number `value` of each of several groups.
struct TileNumbers {
  int count, value, group, groups;  ///< `count`: a power of 2, at most kThreads

  __device__ explicit TileNumbers(int numbers)
      : count(numbers),
        value(static_cast<int>(threadIdx.x) % numbers),
        group(static_cast<int>(threadIdx.x) / numbers),
        groups(kThreads / numbers) {}
  /// The sum of the groups' totals; what the threads of other groups than the first get is of no use.
  __device__ double join(double total, double (&room)[kThreads]) const {
    if (groups == 1) return total;
    __syncthreads();  // what was there has been read
    room[threadIdx.x] = total;
    __syncthreads();
    for (int distance = kThreads / 2; distance >= count; distance /= 2) {
      if (static_cast<int>(threadIdx.x) < distance) total = room[threadIdx.x] += room[threadIdx.x + distance];
      __syncthreads();
    }
    return total;
  }
};

/// Joins a number of this block's split with those of the other splits of its unit: in groups, of which the last block
/// to come adds up what the others have left, and groups of groups. Whether this block has them all.
__device__ inline bool join_splits(const Division& d, std::int64_t unit, std::int64_t channel, bool is_real, int split,
                                   const TileNumbers& numbers, double& total, double (&room)[kThreads]) {
  constexpr int kAtOnce = 16;  // numbers that a thread has on the way
  const std::int64_t pitch = 2 * d.channels;
  double* partials = d.partials + 2 * channel + numbers.value;
  unsigned* counters = d.counters + unit * d.groups;
  int row = split;
  for (int rows = d.splits; rows > 1;) {
    const int group = row / kJoined, first = group * kJoined, groups = (rows + kJoined - 1) / kJoined;
    const int members = min(kJoined, rows - first);
    if (is_real && numbers.group == 0) partials[row * pitch] = total;
    if (!is_last_block(counters + group, static_cast<unsigned>(members))) return false;
    total = 0;
    for (int member = numbers.group; is_real && member < members; member += kAtOnce * numbers.groups) {
      double left[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int one = member + k * numbers.groups;
        left[k] = one < members ? static_cast<const volatile double*>(partials)[(first + one) * pitch] : 0;
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) total += left[k];
    }
    total = numbers.join(total, room);
    partials += rows * pitch, counters += groups;
    rows = groups, row = group;
  }
  return true;
}

/// Channels are innermost: neighbouring threads have neighbouring packs of channels, and rows side by side.
template <class Op, int V>
__global__ void __launch_bounds__(kThreads, kPointBlocks<V>) normalize_points(Op op, Division d) {
  using E = typename Op::Element;
  using P = Pack<E, V>;
  using R = Raw<E, V>;
  constexpr int kWarps = kThreads / kWarp;
  // What a tile's channels have in common with nothing is computed by a thread for each.
  __shared__ double parts[kWarps][2 * kChannelTile];
  __shared__ double room[kThreads];
  __shared__ typename Op::Context contexts_of_tile[kChannelTile];
  const unsigned block = d.block(), units = static_cast<unsigned>(d.units);
  const std::int64_t unit = block % units;  // neighbouring blocks have neighbouring memory
  const int split = static_cast<int>(block / units);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int tile_size = d.width * V, in_tile = lane % d.width * V;   // this thread's first channel of the tile
  const std::int64_t tile = unit * tile_size, own = tile + in_tile;  // the first channel of the tile, of the thread
  const std::int64_t channel = tile + thread;                        // whose numbers this thread computes
  const bool active = own < d.channels, computes = thread < tile_size && channel < d.channels;
  const int side_by_side = kThreads / d.width;
  const std::int64_t step = static_cast<std::int64_t>(d.splits) * side_by_side;
  const std::int64_t first =
      static_cast<std::int64_t>(split) * side_by_side + warp * (kWarp / d.width) + lane / d.width;
  Pair found{};
  if (d.sums) {
    Column<V, E, Op::kSums> mine(op.sum_inputs, d, false, active, own / V, first, step);
    if (computes) contexts_of_tile[thread] = op.context(channel);
    __syncthreads();
    Pair sums[V] = {};
    if (active) {
      typename Op::Context contexts[V];
      constexpr bool kFew = !std::is_same_v<Partial<E>, double>;
      Partial<E> firsts[kFew ? V : 1] = {}, seconds[kFew ? V : 1] = {};
#pragma unroll
      for (int j = 0; j < V; ++j) contexts[j] = contexts_of_tile[in_tile + j];
      mine.visit(
          [&](std::int64_t place, std::int64_t n, const R(&packs)[Op::kSums]) {
            P kept;
#pragma unroll
            for (int j = 0; j < V; ++j) {
              if constexpr (kFew)
                add_terms<Op, V>(op, contexts[Op::kOfImages ? 0 : j], n, packs, j, firsts[j], seconds[j], kept);
              else
                add_terms<Op, V>(op, contexts[Op::kOfImages ? 0 : j], n, packs, j, sums[j].first, sums[j].second, kept);
            }
            if constexpr (Op::kKeeps) store(kept, op.kept + place * V);
          },
          [&] {
            if constexpr (kFew) {
#pragma unroll
              for (int j = 0; j < V; ++j) {
                sums[j].first += static_cast<double>(firsts[j]);
                sums[j].second += static_cast<double>(seconds[j]);
                firsts[j] = seconds[j] = 0;
              }
            }
          });
    }
    // Lanes that have the same channels, then the warps, then the splits.
#pragma unroll
    for (int j = 0; j < V; ++j) {
      for (int distance = kWarp / 2; distance >= d.width; distance /= 2) {
        sums[j].first += __shfl_xor_sync(kAllLanes, sums[j].first, distance);
        sums[j].second += __shfl_xor_sync(kAllLanes, sums[j].second, distance);
      }
      if (lane < d.width) {
        parts[warp][2 * (in_tile + j)] = sums[j].first;
        parts[warp][2 * (in_tile + j) + 1] = sums[j].second;
      }
    }
    __syncthreads();
    const TileNumbers numbers(2 * tile_size);
    double total = 0;
    for (int w = 0; w < kWarps; ++w) total += parts[w][numbers.value];
    const bool is_real = tile + numbers.value / 2 < d.channels;
    if (join_splits(d, unit, tile, is_real, split, numbers, total, room)) {
      __syncthreads();
      if (numbers.group == 0) room[thread] = total;
      __syncthreads();
      if (computes) {
        found = op.finish(channel, {room[2 * thread], room[2 * thread + 1]});
        if (!d.elements && d.numbers != nullptr) d.numbers[channel] = found;
      }
    }
  }
  if constexpr (Op::kElements) {
    __shared__ typename Op::Line lines_of_tile[kChannelTile];
    if (!d.elements) return;
    Column<V, E, Op::kInputs> mine(op.inputs, d, d.follows(), active, own / V, first, step);
    if (computes) {
      if (!d.sums) found = d.numbers != nullptr ? d.numbers[channel] : op.still(channel, split == 0);
      lines_of_tile[thread] = op.line(channel, found);
    }
    __syncthreads();
    if (!active) return;
    typename Op::Line lines[V];
#pragma unroll
    for (int j = 0; j < V; ++j) lines[j] = lines_of_tile[in_tile + j];
    mine.visit(
        [&](std::int64_t place, std::int64_t, const R(&packs)[Op::kInputs]) {
          P out;
#pragma unroll
          for (int j = 0; j < V; ++j) {
            typename Op::Real values[Op::kInputs];
            take<E, V>(packs, j, values);
            out.values[j] = op.element(lines[j], values);
          }
          store(out, op.output + place * V);
        },
        [] {});
  }
}

}  // namespace mnemo::cuda
