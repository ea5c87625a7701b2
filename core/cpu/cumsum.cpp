#include <type_traits>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/threads.h>
#include <mnemo/core/visit_floating.h>

namespace mnemo::cpu {

namespace {

/// Of neighbouring lines, so many at a time: a step along them reads and writes neighbours.
constexpr std::int64_t kLines = 16;

struct Run {
  std::int64_t size, inner;
  bool reverse;
};

/// `lines` lines from `x` on. Sum: what the elements are added up in.
template <class Sum, class E>
void add_up(const Run& run, std::int64_t lines, const E* x, E* out) {
  Sum sums[kLines] = {};
  for (std::int64_t i = 0; i < run.size; ++i) {
    const std::int64_t at = (run.reverse ? run.size - 1 - i : i) * run.inner;
    for (std::int64_t line = 0; line < lines; ++line) {
      if constexpr (std::is_same_v<E, std::int64_t>) {
        sums[line] += static_cast<Sum>(x[at + line]);
        out[at + line] = static_cast<E>(sums[line]);
      } else {
        sums[line] += cast<Sum>(x[at + line]);
        out[at + line] = cast<E>(sums[line]);
      }
    }
  }
}

template <class Sum, class E>
void add_up_all(const Run& run, const Array& x, const Array& out) {
  const std::int64_t groups = (run.inner + kLines - 1) / kLines, outer = x.numel() / (run.size * run.inner);
  const std::int64_t grain = std::max<std::int64_t>(1, 8192 / (run.size * std::min(run.inner, kLines)));
  parallel_for(outer * groups, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = begin; group < end; ++group) {
      const std::int64_t first = group % groups * kLines, at = group / groups * run.size * run.inner + first;
      add_up<Sum>(run, std::min(kLines, run.inner - first), x.data<E>() + at, out.data<E>() + at);
    }
  });
}

}  // namespace

void CpuBackend::cumsum(const Array& x, int axis, bool reverse, const Array& out) {
  Run run{x.size(axis), 1, reverse};
  for (int behind = axis + 1; behind < x.rank(); ++behind) run.inner *= x.size(behind);
  if (x.dtype() == DType::int64) return add_up_all<std::uint64_t, std::int64_t>(run, x, out);  // wraps around
  visit_floating(x.dtype(), [&](auto zero) { add_up_all<double, decltype(zero)>(run, x, out); });
}

}  // namespace mnemo::cpu
