// choose: bytes, of elements of whichever dtype.
#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>
#include <mnemo/core/visit_bytes.h>

namespace mnemo::cpu {

namespace {

/// T: an unsigned integer of the elements' size. A step of 0 is one number for the whole run.
template <class T>
void choose_run(const bool* condition, const T* a, std::int64_t step_a, const T* b, std::int64_t step_b,
                std::int64_t length, T* out) {
  const auto run = [&](const auto& from_a, const auto& from_b) {
    for (std::int64_t i = 0; i < length; ++i) {
      // By bits: a branch is as likely to be taken as not.
      const T left = from_a(i), right = from_b(i), all = static_cast<T>(T{0} - static_cast<T>(condition[i]));
      out[i] = static_cast<T>(right ^ ((left ^ right) & all));
    }
  };
  const auto with_b = [&](const auto& from_a) {
    if (step_b == 0) return run(from_a, [one = *b](std::int64_t) { return one; });
    run(from_a, [b](std::int64_t i) { return b[i]; });
  };
  if (step_a == 0) return with_b([one = *a](std::int64_t) { return one; });
  with_b([a](std::int64_t i) { return a[i]; });
}

template <class T>
void choose_elements(const Array& condition, const Array& a, const Array& b, const Array& out) {
  const Walk<4> walk({&out, &condition, &a, &b});
  const bool* conditions = reinterpret_cast<const bool*>(condition.storage()->data());
  const T *all_a = reinterpret_cast<const T*>(a.storage()->data()),
          *all_b = reinterpret_cast<const T*>(b.storage()->data());
  T* all_out = reinterpret_cast<T*>(out.storage()->data());
  parallel_for(walk.count(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    walk.visit(begin, end, [&](const auto& offsets, const auto& strides, std::int64_t length) {
      const bool* of_run = conditions + offsets[1];
      const T *left = all_a + offsets[2], *right = all_b + offsets[3];
      T* to = all_out + offsets[0];
      if (strides[0] == 1 && strides[1] == 1 && strides[2] <= 1 && strides[3] <= 1)
        return choose_run(of_run, left, strides[2], right, strides[3], length, to);
      for (std::int64_t i = 0; i < length; ++i)
        to[i * strides[0]] = of_run[i * strides[1]] ? left[i * strides[2]] : right[i * strides[3]];
    });
  });
}

}  // namespace

void CpuBackend::choose(const Array& condition, const Array& a, const Array& b, const Array& out) {
  visit_bytes(out.dtype(), [&](auto zero) { choose_elements<decltype(zero)>(condition, a, b, out); });
}

}  // namespace mnemo::cpu
