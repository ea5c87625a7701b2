// copy within one dtype, and fill: bytes in units as large as the layouts allow; transposes through tiles, between
// float32 and half types too.
#include <cstring>

#include <mnemo/cuda/kernels/cast.h>
#include <mnemo/cuda/kernels/elements.h>
#include <mnemo/cuda/kernels/groups.h>
#include <mnemo/cuda/kernels/index.h>
#include <mnemo/cuda/kernels/launch.h>

namespace mnemo::cuda {

namespace {

constexpr int kUnits = 4;  ///< that a thread has on the way at once

/// Elements of a tile's side: larger for short elements, so that as many bytes are on the way.
template <class Unit>
inline constexpr int kTile = sizeof(Unit) <= 4 ? 64 : 32;

/// BYTES bytes, moved by one instruction.
template <int BYTES>
struct Word {
  using type = std::conditional_t<
      BYTES == 1, std::uint8_t,
      std::conditional_t<BYTES == 2, std::uint16_t, std::conditional_t<BYTES == 4, std::uint32_t, std::uint64_t>>>;
};
template <>
struct Word<16> {
  using type = Pack<std::uint32_t, 4>;
};
template <int BYTES>
using word = typename Word<BYTES>::type;

/// Calls f with a constant of 1, 2, 4, 8 or 16.
template <class F>
void visit_bytes(int bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(std::integral_constant<int, 1>{});
    case 2:
      return f(std::integral_constant<int, 2>{});
    case 4:
      return f(std::integral_constant<int, 4>{});
    case 8:
      return f(std::integral_constant<int, 8>{});
    default:
      return f(std::integral_constant<int, 16>{});
  }
}

/// index: to, from, of units.
template <class Unit>
__global__ void __launch_bounds__(kThreads) copy_units(Index<2> index, const Unit* from, Unit* to) {
  const std::int64_t step = item_step();
  for (std::int64_t first = first_item(); first < index.count; first += kUnits * step) {
    Unit units[kUnits];
    std::int64_t target[kUnits];
    for (int k = 0; k < kUnits; ++k) {
      const std::int64_t unit = first + k * step;
      if (unit >= index.count) break;
      std::int64_t at[2];
      index.offsets(unit, at);
      target[k] = at[0];
      units[k] = from[at[1]];
    }
    for (int k = 0; k < kUnits; ++k) {
      if (first + k * step >= index.count) break;
      to[target[k]] = units[k];
    }
  }
}

/// Matrices of which `to` holds the transposed: to[batch][row][column], with neighbouring columns next to each other,
/// from `from`, where neighbouring rows are.
struct Transposition {
  Index<2> batch;
  std::int64_t rows, columns;
  std::int64_t to_row, from_column;  ///< strides; those of the other two are 1
  std::int64_t tiles_down, tiles_across;
  Divisor per_batch, per_row;  ///< by tiles_down * tiles_across and by tiles_across, if there are fewer than 2^31 tiles

  std::int64_t tiles() const { return batch.count * tiles_down * tiles_across; }
  void set_tiles(std::int64_t down, std::int64_t across) {
    tiles_down = down, tiles_across = across;
    if (tiles() > INT32_MAX) return;
    per_batch = Divisor(down * across);
    per_row = Divisor(across);
  }
};

template <class Unit, class From>
__device__ Unit moved(From from) {
  if constexpr (std::is_same_v<Unit, From>)
    return from;
  else
    return cast<Unit>(from);
}

/// Between words of the same size, or a cast.
template <class Unit, class From>
__global__ void __launch_bounds__(kThreads) copy_tiles(Transposition t, const From* from, Unit* to) {
  constexpr int kSide = kTile<Unit>, kDown = kThreads / kWarp;
  constexpr int kPad = sizeof(Unit) < 4 ? 4 / sizeof(Unit) : 1;  // so that a column lies in different banks
  __shared__ Unit tile[kSide][kSide + kPad];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, y = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t per_batch = t.tiles_down * t.tiles_across, tiles = per_batch * t.batch.count;
  for (std::int64_t number = blockIdx.x; number < tiles; number += gridDim.x) {
    const bool narrow = tiles <= INT32_MAX;
    const std::int64_t batch =
        narrow ? t.per_batch.quotient(static_cast<std::uint32_t>(number)) : quotient_of(number, per_batch);
    const std::int64_t in_batch = number - batch * per_batch;
    const std::int64_t down =
        narrow ? t.per_row.quotient(static_cast<std::uint32_t>(in_batch)) : quotient_of(in_batch, t.tiles_across);
    const std::int64_t across = in_batch - down * t.tiles_across;
    const std::int64_t row0 = down * kSide, column0 = across * kSide;
    std::int64_t at[2];
    t.batch.offsets(batch, at);
    // All that a thread reads of a tile is on the way before the first of it is put down.
    Unit units[kSide / kDown][kSide / kWarp] = {};
    const From* const source = from + at[1] + (column0 + y) * t.from_column + row0 + lane;
    MNEMO_UNROLL
    for (int i = 0; i < kSide / kDown; ++i) {
      MNEMO_UNROLL
      for (int x = 0; x < kSide / kWarp; ++x) {
        if (row0 + lane + x * kWarp < t.rows && column0 + y + i * kDown < t.columns)
          units[i][x] = moved<Unit>(source[i * kDown * t.from_column + x * kWarp]);
      }
    }
    MNEMO_UNROLL
    for (int i = 0; i < kSide / kDown; ++i) {
      MNEMO_UNROLL
      for (int x = 0; x < kSide / kWarp; ++x) tile[y + i * kDown][lane + x * kWarp] = units[i][x];
    }
    __syncthreads();
    Unit* const target = to + at[0] + (row0 + y) * t.to_row + column0 + lane;
    MNEMO_UNROLL
    for (int i = 0; i < kSide / kDown; ++i) {
      MNEMO_UNROLL
      for (int x = 0; x < kSide / kWarp; ++x) {
        if (row0 + y + i * kDown < t.rows && column0 + lane + x * kWarp < t.columns)
          target[i * kDown * t.to_row + x * kWarp] = tile[lane + x * kWarp][y + i * kDown];
      }
    }
    __syncthreads();  // the next tile takes this one's place
  }
}

template <class Unit>
__global__ void __launch_bounds__(kThreads) fill_units(Index<1> index, Unit unit, Unit* to) {
  for (std::int64_t i = first_item(); i < index.count; i += item_step()) {
    std::int64_t at[1];
    index.offsets(i, at);
    to[at[0]] = unit;
  }
}

/// The largest number of bytes of which everything is a multiple: the innermost runs, the steps between them, the
/// addresses. REQUIRES: rank > 0.
template <int N>
int unit_bytes(const Index<N>& index, const std::array<const Array*, N>& arrays) {
  const int size = size_of(arrays[0]->dtype()), inner = index.rank - 1;
  std::int64_t all = index.sizes[inner] * size;
  for (int n = 0; n < N; ++n) {
    if (index.strides[inner][n] != 1) return size;
    all |=
        static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(first_byte(*arrays[static_cast<std::size_t>(n)])));
    for (int d = 0; d < inner; ++d) all |= index.strides[d][n] * size;
  }
  int bytes = 16;
  while (all % bytes != 0) bytes /= 2;
  return bytes;
}

/// The same places in units of `ratio` elements.
template <int N>
void count_units(Index<N>& index, int ratio) {
  if (ratio == 1) return;
  index.group(ratio);
  for (int d = 0; d < index.rank; ++d) {
    for (int n = 0; n < N; ++n) index.strides[d][n] /= ratio;
  }
}

/// The dimension other than the innermost along which `from` lies without gaps, if the two are worth tiles.
int tile_rows(const Index<2>& index) {
  constexpr std::int64_t kLeast = 8;  // in smaller ones most threads would be idle
  const int inner = index.rank - 1;
  if (inner < 1 || index.strides[inner][0] != 1 || index.sizes[inner] < kLeast) return -1;
  for (int d = 0; d < inner; ++d) {
    if (index.strides[d][1] == 1 && index.sizes[d] >= kLeast) return d;
  }
  return -1;
}

void transpose(const CudaBackend& backend, const Index<2>& index, int rows, const Array& from, const Array& to) {
  const int inner = index.rank - 1;
  Transposition t{
      index, index.sizes[rows], index.sizes[inner], index.strides[rows][0], index.strides[inner][1], 0, 0, {}, {}};
  t.batch.remove(inner);
  t.batch.remove(rows);
  const auto start = [&](auto unit, auto source) {
    using Unit = decltype(unit);
    using From = decltype(source);
    t.set_tiles((t.rows + kTile<Unit> - 1) / kTile<Unit>, (t.columns + kTile<Unit> - 1) / kTile<Unit>);
    launch(backend, blocks_for(backend, t.tiles() * kThreads), kThreads, copy_tiles<Unit, From>, t,
           reinterpret_cast<const From*>(first_byte(from)), reinterpret_cast<Unit*>(first_byte(to)));
  };
  if (from.dtype() == to.dtype()) {
    visit_bytes(size_of(to.dtype()), [&](auto bytes) {
      if constexpr (bytes <= 8) start(word<bytes>{}, word<bytes>{});
    });
  } else if (to.dtype() == DType::float32) {
    from.dtype() == DType::float16 ? start(float{}, float16{}) : start(float{}, bfloat16{});
  } else {
    to.dtype() == DType::float16 ? start(float16{}, float{}) : start(bfloat16{}, float{});
  }
}

/// What mixed precision casts.
bool casts_in_tiles(DType from, DType to) {
  return (from == DType::float32 && is_half(to)) || (is_half(from) && to == DType::float32);
}

}  // namespace

void CudaBackend::copy(const Array& from, const Array& to) {
  if (to.numel() == 0) return;
  const bool is_cast = from.dtype() != to.dtype();
  if (is_cast && !casts_in_tiles(from.dtype(), to.dtype())) return copy_cast(*this, from, to);
  Index<2> index({&to, &from});
  if (is_cast) {
    const int rows = tile_rows(index);
    return rows >= 0 ? transpose(*this, index, rows, from, to) : copy_cast(*this, from, to);
  }
  if (index.is_flat()) {
    if (first_byte(from) == first_byte(to)) return;
    check(cudaMemcpyAsync(first_byte(to), first_byte(from), static_cast<std::size_t>(to.bytes()),
                          cudaMemcpyDeviceToDevice, stream()),
          "copying within the device");
    return;
  }
  if (const int rows = tile_rows(index); rows >= 0) return transpose(*this, index, rows, from, to);
  const int bytes = unit_bytes(index, {&to, &from});
  count_units(index, bytes / size_of(to.dtype()));
  visit_bytes(bytes, [&](auto constant) {
    using Unit = word<constant>;
    launch(*this, blocks_for(*this, (index.count + kUnits - 1) / kUnits), kThreads, copy_units<Unit>, index,
           reinterpret_cast<const Unit*>(first_byte(from)), reinterpret_cast<Unit*>(first_byte(to)));
  });
}

void CudaBackend::fill(const Array& out, double value) {
  if (out.numel() == 0) return;
  const int size = size_of(out.dtype());
  alignas(16) std::byte pattern[16];
  visit(out.dtype(), [&](auto zero) {
    const auto element = cast<decltype(zero)>(value);
    for (int i = 0; i < 16; i += size) std::memcpy(pattern + i, &element, static_cast<std::size_t>(size));
  });
  Index<1> index({&out});
  const int bytes = index.rank == 0 ? size : unit_bytes(index, {&out});
  count_units(index, bytes / size);
  visit_bytes(bytes, [&](auto constant) {
    using Unit = word<constant>;
    Unit unit;
    std::memcpy(&unit, pattern, sizeof unit);
    launch(*this, blocks_for(*this, index.count), kThreads, fill_units<Unit>, index, unit,
           reinterpret_cast<Unit*>(first_byte(out)));
  });
}

}  // namespace mnemo::cuda
