// resample: the rows that a row of the result is made of are added up to one, of which its elements are made then. The
// gradient is the same with the sums the other way round.
#include <algorithm>
#include <vector>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/floating.h>
#include <mnemo/core/threads.h>
#include <mnemo/core/visit_floating.h>

namespace mnemo::cpu {

namespace {

/// Of each element of an axis: which elements of another one it is the sum of, each times a weight.
template <class T>
struct Sums {
  struct Term {
    std::int64_t place;
    T weight;
  };
  std::int64_t places;               ///< of the other axis
  std::vector<std::int64_t> begins;  ///< of each element's terms, and the end of the last one's
  std::vector<Term> terms;

  std::int64_t count() const { return static_cast<std::int64_t>(begins.size()) - 1; }
  const Term* begin(std::int64_t i) const { return terms.data() + begins[static_cast<std::size_t>(i)]; }
  const Term* end(std::int64_t i) const { return begin(i + 1); }
  /// Every element is the one at its own place.
  bool changes_nothing() const { return count() == places && static_cast<std::int64_t>(terms.size()) == places; }
};

template <class T>
Sums<T> sums_of(const Resampling<std::int64_t>& axis) {
  Sums<T> sums{axis.in, {0}, {}};
  for (std::int64_t i = 0; i < axis.out; ++i) {
    const Taps<std::int64_t> taps = axis.taps(i);
    for (std::int64_t t = 0; t < taps.count; ++t) {
      const std::int64_t place = axis.inside(taps.first + t);
      const T weight = axis.weight<T>(taps, t);
      const bool again = t > 0 && sums.terms.back().place == place;
      if (again)
        sums.terms.back().weight += weight;
      else
        sums.terms.push_back({place, weight});
    }
    sums.begins.push_back(static_cast<std::int64_t>(sums.terms.size()));
  }
  return sums;
}

/// For each element of the other axis: which sums it is in.
template <class T>
Sums<T> reversed(const Sums<T>& sums) {
  Sums<T> result{sums.count(), std::vector<std::int64_t>(static_cast<std::size_t>(sums.places + 1)), {}};
  for (const auto& term : sums.terms) ++result.begins[static_cast<std::size_t>(term.place + 1)];
  for (std::size_t i = 1; i < result.begins.size(); ++i) result.begins[i] += result.begins[i - 1];
  result.terms.resize(sums.terms.size());
  std::vector<std::int64_t> next(result.begins);
  for (std::int64_t i = 0; i < sums.count(); ++i) {
    for (const auto* term = sums.begin(i); term != sums.end(i); ++term) {
      const std::int64_t at = next[static_cast<std::size_t>(term->place)]++;
      result.terms[static_cast<std::size_t>(at)] = {i, term->weight};
    }
  }
  return result;
}

/// y (planes, sizes, inner) from x (planes, other sizes, inner).
template <class E>
class Rows {
  using T = compute_type<E>;

 public:
  Rows(const ResampleProblem& problem, bool reverse, const E* x, E* y)
      : planes_(problem.planes), inner_(problem.inner), x_(x), y_(y) {
    for (std::size_t d = 0; d < 3; ++d) {
      sums_[d] = sums_of<T>(problem.axes[d]);
      if (reverse) sums_[d] = reversed(sums_[d]);
    }
  }

  void fill() const {
    const std::int64_t rows = sums_[0].count() * sums_[1].count(), width = sums_[2].count() * inner_;
    const auto many = static_cast<std::int64_t>(std::max(sums_[1].terms.size(), sums_[2].terms.size()));
    parallel_for(planes_ * rows, std::max<std::int64_t>(1, 8192 / (width + many)), [&](auto begin, auto end) {
      std::vector<T> sum(static_cast<std::size_t>(sums_[2].places * inner_));
      for (std::int64_t row = begin; row < end; ++row) {
        add_rows(row / rows, row % rows / sums_[1].count(), row % sums_[1].count(), sum);
        if (sums_[2].changes_nothing())
          std::transform(sum.begin(), sum.end(), y_ + row * width, [](T value) { return cast<E>(value); });
        else
          fill_row(sum.data(), y_ + row * width);
      }
    });
  }

 private:
  void add_rows(std::int64_t plane, std::int64_t a, std::int64_t b, std::vector<T>& sum) const {
    const auto width = static_cast<std::int64_t>(sum.size());
    std::fill(sum.begin(), sum.end(), T{0});
    for (const auto* outer = sums_[0].begin(a); outer != sums_[0].end(a); ++outer) {
      for (const auto* middle = sums_[1].begin(b); middle != sums_[1].end(b); ++middle) {
        const E* row = x_ + ((plane * sums_[0].places + outer->place) * sums_[1].places + middle->place) * width;
        const T weight = outer->weight * middle->weight;
        for (std::int64_t i = 0; i < width; ++i) sum[static_cast<std::size_t>(i)] += weight * cast<T>(row[i]);
      }
    }
  }

  void fill_row(const T* row, E* y) const {
    for (std::int64_t i = 0; i < sums_[2].count(); ++i) {
      const auto *begin = sums_[2].begin(i), *end = sums_[2].end(i);
      for (std::int64_t c = 0; c < inner_; ++c) {
        T sum{0};
        for (const auto* term = begin; term != end; ++term) sum += term->weight * row[term->place * inner_ + c];
        y[i * inner_ + c] = cast<E>(sum);
      }
    }
  }

  std::int64_t planes_, inner_;
  Sums<T> sums_[3];
  const E* x_;
  E* y_;
};

}  // namespace

void CpuBackend::resample(const ResampleProblem& problem, const Array& x, const Array& y) {
  visit_floating(x.dtype(), [&](auto zero) {
    using E = decltype(zero);
    Rows<E>(problem, false, x.data<E>(), y.data<E>()).fill();
  });
}

void CpuBackend::resample_gradient(const ResampleProblem& problem, const Array& grad, const Array& dx) {
  visit_floating(grad.dtype(), [&](auto zero) {
    using E = decltype(zero);
    Rows<E>(problem, true, grad.data<E>(), dx.data<E>()).fill();
  });
}

}  // namespace mnemo::cpu
