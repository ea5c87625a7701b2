// update: one pass over all parameters, their gradients and moments, in as few launches as there are dtypes and tables.
#include <algorithm>
#include <vector>

#include <mnemo/core/update_numbers.h>
#include <mnemo/cuda/kernels/slots.h>
#include <mnemo/cuda/kernels/update.h>

namespace mnemo::cuda {

namespace {

struct Entry {
  void* arrays[4];  ///< parameter, gradient, first, second
  void* half;       ///< what gets the parameter's new values too, or null
  std::int64_t count;
  std::int32_t* skipped;
  bool packs;  ///< aligned, parameter and moments of the kernel's dtype, the gradient too or of a half one
  bool same;   ///< all of the kernel's dtype, and nothing of a half one
  DType dtypes[4], half_dtype;
};
using Table = Slots<Entry, 56>;  // with the rest a little less than the 4096 bytes that every driver takes

static_assert(sizeof(Table) + sizeof(Step) + sizeof(AdamNumbers<double>) <= 4096);

/// Calls body(zero of the half type).
template <class Body>
__device__ void visit_half(DType dtype, const Body& body) {
  if (dtype == DType::float16)
    body(float16{});
  else
    body(bfloat16{});
}

/// What is done to an element: SgdNumbers without (0 moments) and with momentum (1), or AdamNumbers (2).
template <class C, int kMoments>
struct Rule {
  using Numbers = std::conditional_t<kMoments == 2, AdamNumbers<C>, SgdNumbers<C>>;

  static __device__ void apply(const Numbers& numbers, C inverse, C (&values)[4]) {
    const C gradient = values[1] * inverse;
    if constexpr (kMoments == 2) numbers.apply(gradient, values[0], values[2], values[3]);
    if constexpr (kMoments == 1) numbers.apply(gradient, values[0], values[2]);
    if constexpr (kMoments == 0) numbers.apply(gradient, values[0]);
  }
};

template <class E, int kMoments>
__device__ void update_packs(const Entry& entry, Piece piece,
                             const typename Rule<compute_type<E>, kMoments>::Numbers& numbers,
                             compute_type<E> inverse) {
  using C = compute_type<E>;
  constexpr int N = kPerVector<E>;
  using Vector = Pack<E, N>;
  const std::int64_t packs = piece.end / N;
  for (std::int64_t i = piece.begin / N + threadIdx.x; i < packs; i += blockDim.x) {
    Vector vectors[2 + kMoments];
#pragma unroll
    for (int n = 0; n < 2 + kMoments; ++n)
      if (n != 1 || entry.dtypes[1] == dtype_of<E>()) vectors[n] = static_cast<const Vector*>(entry.arrays[n])[i];
    if constexpr (std::is_same_v<E, float>) {
      if (is_half(entry.dtypes[1])) {
        visit_half(entry.dtypes[1], [&](auto zero) {
          const auto halves = static_cast<const Pack<decltype(zero), N>*>(entry.arrays[1])[i];
#pragma unroll
          for (int j = 0; j < N; ++j) vectors[1].values[j] = cast<float>(halves.values[j]);
        });
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      C values[4] = {};
#pragma unroll
      for (int n = 0; n < 2 + kMoments; ++n) values[n] = cast<C>(vectors[n].values[j]);
      Rule<C, kMoments>::apply(numbers, inverse, values);
#pragma unroll
      for (int n = 0; n < 2 + kMoments; ++n) vectors[n].values[j] = cast<E>(values[n]);
    }
#pragma unroll
    for (int n = 0; n < 2 + kMoments; ++n)
      if (n != 1) static_cast<Vector*>(entry.arrays[n])[i] = vectors[n];
    if constexpr (std::is_same_v<E, float>) {
      if (entry.half == nullptr) continue;
      visit_half(entry.half_dtype, [&](auto zero) {
        Pack<decltype(zero), N> halves;
#pragma unroll
        for (int j = 0; j < N; ++j) halves.values[j] = cast<decltype(zero)>(vectors[0].values[j]);
        static_cast<Pack<decltype(zero), N>*>(entry.half)[i] = halves;
      });
    }
  }
}

template <class E, int kMoments>
__device__ void update_single(const Entry& entry, std::int64_t begin, std::int64_t end,
                              const typename Rule<compute_type<E>, kMoments>::Numbers& numbers,
                              compute_type<E> inverse) {
  using C = compute_type<E>;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    C values[4] = {};
#pragma unroll
    for (int n = 0; n < 2 + kMoments; ++n) values[n] = cast<C>(static_cast<const E*>(entry.arrays[n])[i]);
    Rule<C, kMoments>::apply(numbers, inverse, values);
#pragma unroll
    for (int n = 0; n < 2 + kMoments; ++n)
      if (n != 1) static_cast<E*>(entry.arrays[n])[i] = cast<E>(values[n]);
  }
}

template <class C, int kMoments>
__device__ void update_mixed(const Entry& entry, std::int64_t begin, std::int64_t end,
                             const typename Rule<C, kMoments>::Numbers& numbers, C inverse) {
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    C values[4] = {};
    for (int n = 0; n < 2 + kMoments; ++n) values[n] = load_as<C>(entry.arrays[n], entry.dtypes[n], i);
    Rule<C, kMoments>::apply(numbers, inverse, values);
    for (int n = 0; n < 2 + kMoments; ++n)
      if (n != 1) store_as(values[n], entry.arrays[n], entry.dtypes[n], i);
    if (entry.half != nullptr) store_as(values[0], entry.half, entry.half_dtype, i);
  }
}

template <class E, int kMoments>
__global__ void __launch_bounds__(kThreads)
    update_kernel(const Table table, const Step step, const typename Rule<compute_type<E>, kMoments>::Numbers usual) {
  using C = compute_type<E>;
  const int slot = table.find(static_cast<int>(blockIdx.x));
  const Entry& entry = table.entries[slot];
  const int number = static_cast<int>(blockIdx.x) - table.begins[slot];
  if (step.is_skipped(entry.skipped, number == 0)) return;
  const int skipped = entry.skipped != nullptr ? *entry.skipped : 0;
  const auto numbers = step.numbers_for(usual, skipped);
  const C inverse = step.template inverse<C>();
  const Piece piece(table.piece, number, entry.count);
  std::int64_t done = piece.begin;
  if (entry.packs) {
    update_packs<E, kMoments>(entry, piece, numbers, inverse);
    done = piece.end / kPerVector<E> * kPerVector<E>;  // a piece begins at a whole pack
  }
  if (entry.same)
    update_single<E, kMoments>(entry, done, piece.end, numbers, inverse);
  else
    update_mixed<C, kMoments>(entry, done, piece.end, numbers, inverse);
}

Entry entry_of(const UpdateSlot& slot, int moments) {
  Entry entry = {};
  const Array* arrays[] = {&slot.parameter, &slot.gradient, &slot.first, &slot.second};
  bool same = true, aligned = true;
  for (int n = 0; n < 2 + moments; ++n) {
    entry.dtypes[n] = arrays[n]->dtype();
    entry.arrays[n] = address(*arrays[n]);
    same = same && (n == 1 || entry.dtypes[n] == entry.dtypes[0]);
    aligned = aligned && is_aligned(entry.arrays[n]);
  }
  const DType own = entry.dtypes[0], gradient = entry.dtypes[1];
  if (slot.half.defined()) {
    entry.half = address(slot.half);
    entry.half_dtype = slot.half.dtype();
    aligned = aligned && is_aligned(entry.half);
  }
  entry.count = slot.parameter.numel();
  entry.skipped = elements<std::int32_t>(slot.skipped);
  entry.packs = same && aligned && (gradient == own || (own == DType::float32 && is_half(gradient)));
  entry.same = same && gradient == own && entry.half == nullptr;
  return entry;
}

/// Slots that one kernel takes.
struct Kind {
  DType dtype;
  int moments;
  bool counted;  ///< their steps may have been skipped: the numbers follow from the count

  explicit Kind(const UpdateCall& call, const UpdateSlot& slot)
      : dtype(slot.parameter.dtype()),
        moments(call.rule == UpdateCall::Rule::adam ? 2
                : slot.first.defined()              ? 1
                                                    : 0),
        counted(slot.skipped.defined()) {}
  bool operator==(const Kind&) const = default;
};

template <class E, int kMoments>
void update_kind(const CudaBackend& backend, const UpdateCall& call, std::span<const UpdateSlot> slots,
                 const Kind& kind) {
  using Numbers = typename Rule<compute_type<E>, kMoments>::Numbers;
  const Step step(call);
  UpdateNumbers usual = call;
  if (kind.counted) usual.leave_out(0);
  const auto takes = [&](const UpdateSlot& slot) { return !slot.first_largest.defined() && Kind(call, slot) == kind; };
  std::int64_t total = 0;
  for (const UpdateSlot& slot : slots) total += takes(slot) ? slot.parameter.numel() : 0;
  Table table;
  table.piece = piece_for(backend, total, kThreads * kPerVector<E>);
  const auto start = [&] {
    if (table.count > 0)
      launch(backend, table.blocks(), kThreads, update_kernel<E, kMoments>, table, step, Numbers(usual));
    table.count = 0;
  };
  for (const UpdateSlot& slot : slots) {
    if (!takes(slot)) continue;
    table.add(entry_of(slot, kMoments), slot.parameter.numel());
    if (table.is_full()) start();
  }
  start();
}

}  // namespace

void CudaBackend::update(const UpdateCall& call, std::span<const UpdateSlot> slots) {
  std::vector<Kind> kinds;
  bool codes = false;
  for (const UpdateSlot& slot : slots) {
    const Kind kind(call, slot);
    codes = codes || slot.first_largest.defined();
    if (!slot.first_largest.defined() && std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
      kinds.push_back(kind);
  }
  for (const Kind& kind : kinds) {
    visit_floating(kind.dtype, [&](auto zero) {
      using E = decltype(zero);
      if (kind.moments == 2)
        update_kind<E, 2>(*this, call, slots, kind);
      else if (kind.moments == 1)
        update_kind<E, 1>(*this, call, slots, kind);
      else
        update_kind<E, 0>(*this, call, slots, kind);
    });
  }
  if (codes) update_8_bits(*this, call, slots);
}

}  // namespace mnemo::cuda
