// Matrix products by tiles in shared memory, for operands that are computed as they are read: a task says what they
// are. Private: includes CUDA's headers.
#pragma once

#include <mnemo/core/dtype.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

inline constexpr int kTile = 64;       ///< rows and columns of a tile; a thread has 4 x 4 of them
inline constexpr int kTileDepth = 16;  ///< of a tile that is in shared memory
inline constexpr int kTileThreads = 256;
inline constexpr int kRun = 16;  ///< tiles of depth that are added up by themselves: long sums lose few digits

/// How a product (rows, columns) over `depth` is cut: tiles of every group, each by `splits` blocks that take a share
/// of the depth and leave their sums in the scratch memory, where the last to finish adds them up in order.
struct Tiles {
  std::int64_t rows, columns, depth;
  std::int64_t row_tiles, column_tiles, groups, splits;
  std::int64_t share;  ///< depth of a split, a multiple of kTileDepth

  Tiles(const CudaBackend& backend, std::int64_t group_count, std::int64_t row_count, std::int64_t column_count,
        std::int64_t whole_depth, std::size_t size)
      : rows(row_count),
        columns(column_count),
        depth(whole_depth),
        row_tiles((rows + kTile - 1) / kTile),
        column_tiles((columns + kTile - 1) / kTile),
        groups(group_count),
        splits(1) {
    const auto room = static_cast<std::int64_t>(Scratch::kBytes / (kTile * kTile * size));
    const std::int64_t steps = (depth + kTileDepth - 1) / kTileDepth;
    if (count() <= room)
      splits = std::min({room / count(), (2 * backend.multiprocessors() + count() - 1) / count(), (steps + 15) / 16});
    splits = std::max<std::int64_t>(1, splits);
    share = (steps + splits - 1) / splits * kTileDepth;
  }

  std::int64_t count() const { return groups * row_tiles * column_tiles; }
  unsigned blocks() const { return static_cast<unsigned>(count() * splits); }
};

/// A task has an element type of the product C, and
///   Line line(group, column)      what is known of a column of the right operand
///   Step step(group, d)           what is known of a place in the depth
///   C a(group, row, step), C b(step, line)
///   void store(group, row, line, C value)
///   bool a_along_rows, b_along_columns: in which direction neighbours lie in memory.
template <class Task>
__global__ void __launch_bounds__(kTileThreads)
    tile_kernel(const Task task, const Tiles tiles, std::byte* partials, unsigned* finished) {
  using C = typename Task::C;
  using Four = Pack<C, 4>;
  alignas(Four) __shared__ C as[kTileDepth][kTile + 4], bs[kTileDepth][kTile + 4];
  __shared__ typename Task::Line lines[kTile];
  __shared__ typename Task::Step steps[kTileDepth];
  __shared__ bool is_last;
  const int thread = static_cast<int>(threadIdx.x);
  std::int64_t index = blockIdx.x;
  const std::int64_t split = index % tiles.splits;
  index /= tiles.splits;
  const std::int64_t tile = index;
  const std::int64_t row0 = index % tiles.row_tiles * kTile;
  index /= tiles.row_tiles;
  const std::int64_t column0 = index % tiles.column_tiles * kTile, group = index / tiles.column_tiles;

  if (thread < kTile && column0 + thread < tiles.columns) lines[thread] = task.line(group, column0 + thread);
  C totals[4][4] = {}, sums[4][4] = {};
  const int y = thread / 16 * 4, x = thread % 16 * 4;
  const std::int64_t begin = split * tiles.share;
  const std::int64_t end = begin + tiles.share < tiles.depth ? begin + tiles.share : tiles.depth;
  int run = 0;
  for (std::int64_t d0 = begin; d0 < end; d0 += kTileDepth) {
    if (thread < kTileDepth && d0 + thread < end) steps[thread] = task.step(group, d0 + thread);
    __syncthreads();
    for (int i = thread; i < kTile * kTileDepth; i += kTileThreads) {
      const int d = task.a_along_rows ? i / kTile : i % kTileDepth, r = task.a_along_rows ? i % kTile : i / kTileDepth;
      as[d][r] = d0 + d < end && row0 + r < tiles.rows ? task.a(group, row0 + r, steps[d]) : C{0};
    }
    for (int i = thread; i < kTile * kTileDepth; i += kTileThreads) {
      const int d = task.b_along_columns ? i / kTile : i % kTileDepth;
      const int c = task.b_along_columns ? i % kTile : i / kTileDepth;
      bs[d][c] = d0 + d < end && column0 + c < tiles.columns ? task.b(steps[d], lines[c]) : C{0};
    }
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kTileDepth; ++d) {
      const Four a = reinterpret_cast<const Four&>(as[d][y]), b = reinterpret_cast<const Four&>(bs[d][x]);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += a.values[i] * b.values[j];
    }
    if (++run < kRun) continue;
    run = 0;
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      totals[i / 4][i % 4] += sums[i / 4][i % 4];
      sums[i / 4][i % 4] = 0;
    }
  }
#pragma unroll
  for (int i = 0; i < 16; ++i) totals[i / 4][i % 4] += sums[i / 4][i % 4];
  __syncthreads();  // the lines are there also where there is no depth

  if (tiles.splits > 1) {
    // Value i of a thread lies kTileThreads behind its value i - 1: neighbours write side by side.
    C* const mine = reinterpret_cast<C*>(partials) + tile * tiles.splits * (kTile * kTile) + thread;
#pragma unroll
    for (int i = 0; i < 16; ++i) mine[split * (kTile * kTile) + i * kTileThreads] = totals[i / 4][i % 4];
    __threadfence();
    __syncthreads();
    if (thread == 0) is_last = atomicAdd(finished + tile, 1u) == tiles.splits - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    if (thread == 0) finished[tile] = 0;
#pragma unroll
    for (int i = 0; i < 16; ++i) totals[i / 4][i % 4] = 0;
    for (std::int64_t s = 0; s < tiles.splits; ++s)
#pragma unroll
      for (int i = 0; i < 16; ++i) totals[i / 4][i % 4] += mine[s * (kTile * kTile) + i * kTileThreads];
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (row0 + y + i < tiles.rows && column0 + x + j < tiles.columns)
        task.store(group, row0 + y + i, lines[x + j], totals[i][j]);
}

/// Computes the products of all groups.
template <class Task>
void multiply_tiles(const CudaBackend& backend, const Task& task, std::int64_t groups, std::int64_t rows,
                    std::int64_t columns, std::int64_t depth) {
  if (groups * rows * columns == 0) return;
  const Tiles tiles(backend, groups, rows, columns, depth, sizeof(typename Task::C));
  const Scratch& scratch = backend.scratch();
  launch(backend, tiles.blocks(), kTileThreads, tile_kernel<Task>, task, tiles, scratch.partials, scratch.counters);
}

}  // namespace mnemo::cuda
