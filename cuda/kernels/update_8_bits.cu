// Adam whose moments are codes of the dynamic map: a block of threads decodes, updates and codes again one block of
// moments, which it holds in registers between the two.
#include <mnemo/core/dynamic_map.h>
#include <mnemo/cuda/kernels/slots.h>
#include <mnemo/cuda/kernels/update.h>

namespace mnemo::cuda {

namespace {

constexpr int kEach = static_cast<int>(kMomentBlock) / kThreads;  ///< values of a thread

struct Entry {
  void *parameter, *half;  ///< half: what gets the new values too, or null
  const void* gradient;
  std::uint8_t* codes[2];
  float* largest[2];
  std::int64_t count;
  std::int32_t* skipped;
  DType parameter_dtype, gradient_dtype, half_dtype;
};
// With the maps and the numbers of the step they fit into a kernel's parameters.
using Table = Slots<Entry, 18>;

struct Maps {
  DynamicMap maps[2];  ///< with and without a sign
};

/// The largest of a block's values; NaN counts as nothing, as in std::max(largest, value).
template <class C>
__device__ C largest_of(C value) {
  __shared__ C warps[kThreads / 32];
  const auto larger = [](C a, C b) { return a < b ? b : a; };
  for (int distance = 16; distance > 0; distance /= 2)
    value = larger(value, __shfl_xor_sync(0xffffffffu, value, distance));
  __syncthreads();  // nobody reads the previous values any more
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = warps[0];
  for (int i = 1; i < kThreads / 32; ++i) value = larger(value, warps[i]);
  return value;
}

/// The values of a piece that are this thread's: every kThreads-th.
template <class E, class C>
__device__ void load_values(const E* from, Piece piece, C (&values)[kEach]) {
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const std::int64_t i = piece.begin + j * kThreads + threadIdx.x;
    values[j] = i < piece.end ? cast<C>(from[i]) : C{0};
  }
}
template <class C>
__device__ void load_each(const void* from, DType dtype, Piece piece, C (&values)[kEach]) {
  switch (dtype) {
    case DType::float64:
      return load_values(static_cast<const double*>(from), piece, values);
    case DType::float16:
      return load_values(static_cast<const float16*>(from), piece, values);
    case DType::bfloat16:
      return load_values(static_cast<const bfloat16*>(from), piece, values);
    default:
      return load_values(static_cast<const float*>(from), piece, values);
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    update_8_bits_kernel(const Table table, const Step step, const AdamNumbers<C> usual, const Maps given) {
  __shared__ Maps shared;
  const int slot = table.find(static_cast<int>(blockIdx.x));
  const Entry& entry = table.entries[slot];
  const int number = static_cast<int>(blockIdx.x) - table.begins[slot];
  if (step.is_skipped(entry.skipped, number == 0)) return;  // the whole block at once
  for (int i = static_cast<int>(threadIdx.x); i < 512; i += kThreads) {
    const auto at = static_cast<std::size_t>(i % 256);
    shared.maps[i / 256][at] = given.maps[i / 256][at];
  }
  __syncthreads();
  const int skipped = entry.skipped != nullptr ? *entry.skipped : 0;
  const AdamNumbers<C> numbers = step.numbers_for(usual, skipped);
  const C inverse = step.template inverse<C>();
  const Piece piece(kMomentBlock, number, entry.count);
  if (entry.count == 0) return;

  // Everything is asked for before anything is computed.
  C before[2], parameters[kEach], gradients[kEach], moments[2][kEach], largest[2] = {};
  std::uint8_t codes[2][kEach];
  load_each(entry.parameter, entry.parameter_dtype, piece, parameters);
  load_each(entry.gradient, entry.gradient_dtype, piece, gradients);
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    load_values(entry.codes[n], piece, codes[n]);
    before[n] = static_cast<C>(entry.largest[n][number]);
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const std::int64_t i = piece.begin + j * kThreads + threadIdx.x;
    if (i >= piece.end) continue;
#pragma unroll
    for (int n = 0; n < 2; ++n) moments[n][j] = static_cast<C>(shared.maps[n][codes[n][j]]) * before[n];
    numbers.apply(gradients[j] * inverse, parameters[j], moments[0][j], moments[1][j]);
    store_as(parameters[j], entry.parameter, entry.parameter_dtype, i);
    if (entry.half != nullptr) store_as(parameters[j], entry.half, entry.half_dtype, i);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const C magnitude = std::abs(moments[n][j]);
      largest[n] = largest[n] < magnitude ? magnitude : largest[n];
    }
  }
  float after[2];
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    after[n] = static_cast<float>(largest_of(largest[n]));
    if (threadIdx.x == 0) entry.largest[n][number] = after[n];
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const std::int64_t i = piece.begin + j * kThreads + threadIdx.x;
    if (i >= piece.end) continue;
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const C share = after[n] > 0 ? moments[n][j] / static_cast<C>(after[n]) : C{0};
      const std::uint8_t code = nearest_code(shared.maps[n], share);
      // A square that became 0 would leave its mean a step of mean / epsilon: at least the smallest one is kept.
      entry.codes[n][i] = n == 1 && code == 0 && moments[n][j] > 0 ? std::uint8_t{1} : code;
    }
  }
}

template <class C>
void update_all(const CudaBackend& backend, const UpdateCall& call, std::span<const UpdateSlot> slots, bool counted) {
  const Step step(call);
  UpdateNumbers usual = call;
  if (counted) usual.leave_out(0);
  const Maps maps{{signed_map(), unsigned_map()}};
  Table table;
  table.piece = kMomentBlock;
  const auto start = [&] {
    if (table.count > 0)
      launch(backend, table.blocks(), kThreads, update_8_bits_kernel<C>, table, step, AdamNumbers<C>(usual), maps);
    table.count = 0;
  };
  for (const UpdateSlot& slot : slots) {
    const bool in_double = slot.parameter.dtype() == DType::float64;
    if (!slot.first_largest.defined() || slot.skipped.defined() != counted || in_double != (sizeof(C) == 8)) continue;
    table.add({.parameter = address(slot.parameter),
               .half = address(slot.half),
               .gradient = address(slot.gradient),
               .codes = {elements<std::uint8_t>(slot.first), elements<std::uint8_t>(slot.second)},
               .largest = {elements<float>(slot.first_largest), elements<float>(slot.second_largest)},
               .count = slot.parameter.numel(),
               .skipped = elements<std::int32_t>(slot.skipped),
               .parameter_dtype = slot.parameter.dtype(),
               .gradient_dtype = slot.gradient.dtype(),
               .half_dtype = slot.half.defined() ? slot.half.dtype() : DType::float32},
              slot.parameter.numel());
    if (table.is_full()) start();
  }
  start();
}

}  // namespace

void update_8_bits(const CudaBackend& backend, const UpdateCall& call, std::span<const UpdateSlot> slots) {
  for (const bool counted : {false, true}) {
    update_all<float>(backend, call, slots, counted);
    update_all<double>(backend, call, slots, counted);
  }
}

}  // namespace mnemo::cuda
