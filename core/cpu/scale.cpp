// Loss scaling and norms: one read of each gradient, nothing but a few numbers per piece besides.
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>
#include <mnemo/core/cpu/update.h>

namespace mnemo::cpu {

namespace {

/// Calls body(values, count, first element) for buffers of a dense array; what the body changes is written back.
template <class C, class Body>
void each_buffer(const Array& x, bool write, std::int64_t grain, const Body& body) {
  const std::int64_t base = x.layout().offset;
  parallel_for(x.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    C buffer[kBuffer];
    for (std::int64_t i = begin; i < end; i += kBuffer) {
      const std::int64_t count = std::min(kBuffer, end - i);
      C* values = in_place<C>(x, base + i, 1);
      if (values == nullptr) load(x, base + i, 1, count, values = buffer);
      body(values, count, i);
      if (write && values == buffer) store(buffer, count, x, base + i, 1);
    }
  });
}

template <class C>
void unscale_one(const Array& gradient, const Array& scale, std::atomic<bool>& found) {
  const C inverse = inverse_of<C>(scale);
  each_buffer<C>(gradient, scale.defined(), kGrain, [&](C* values, std::int64_t count, std::int64_t) {
    // x * 0 is 0 where x is finite and NaN where it is not: a sum of them needs no branch.
    C sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += values[i] * C{0};
    if (sum != C{0}) found.store(true, std::memory_order_relaxed);
    if (!scale.defined()) return;
    for (std::int64_t i = 0; i < count; ++i) values[i] *= inverse;
  });
}

/// The sum of |x|^p, or the largest |x|, in double, in pieces of a fixed size.
template <class C>
double power_sum(const Array& x, double p) {
  const bool largest = std::isinf(p);
  std::vector<double> pieces(static_cast<std::size_t>((x.numel() + kGrain - 1) / kGrain), 0.0);
  each_buffer<C>(x, false, kGrain, [&](const C* values, std::int64_t count, std::int64_t first) {
    double sum = pieces[static_cast<std::size_t>(first / kGrain)];
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = std::abs(static_cast<double>(values[i]));
      if (largest)
        sum = value > sum || value != value ? value : sum;
      else
        sum += p == 2 ? value * value : p == 1 ? value : std::pow(value, p);
    }
    pieces[static_cast<std::size_t>(first / kGrain)] = sum;
  });
  double total = 0;
  for (const double piece : pieces) total = !largest ? total + piece : piece > total || piece != piece ? piece : total;
  return total;
}

}  // namespace

void CpuBackend::unscale(std::span<const Array> gradients, const Array& scale, const Array& found) {
  std::atomic<bool> any = false;
  for (const Array& gradient : gradients) {
    if (gradient.dtype() == DType::float64)
      unscale_one<double>(gradient, scale, any);
    else
      unscale_one<float>(gradient, scale, any);
  }
  if (any) *found.data<float>() = 1;
}

void CpuBackend::update_scale(const ScaleRule& rule, const Array& found, const Array& scale, const Array& good_steps) {
  float& factor = *scale.data<float>();
  std::int32_t& good = *good_steps.data<std::int32_t>();
  if (*found.data<float>() != 0) {
    factor = static_cast<float>(static_cast<double>(factor) * rule.backoff);
    good = 0;
    return;
  }
  if (++good < rule.interval) return;
  good = 0;
  const float grown = static_cast<float>(static_cast<double>(factor) * rule.growth);
  if (std::isfinite(grown)) factor = grown;
}

void CpuBackend::norm(std::span<const Array> arrays, double p, const Array& out) {
  double total = 0;
  for (const Array& x : arrays) {
    const double part = x.dtype() == DType::float64 ? power_sum<double>(x, p) : power_sum<float>(x, p);
    total = !std::isinf(p) ? total + part : part > total || part != part ? part : total;
  }
  *out.data<float>() = static_cast<float>(std::isinf(p) || p == 1 ? total
                                          : p == 2                ? std::sqrt(total)
                                                                  : std::pow(total, 1 / p));
}

}  // namespace mnemo::cpu
