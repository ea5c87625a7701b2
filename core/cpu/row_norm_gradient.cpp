// row_norm's gradients: one row after the other gives its share of weight's and bias's before its own takes its place.
#include <algorithm>
#include <utility>
#include <vector>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/row_lines.h>
#include <mnemo/core/normalize_lines.h>

namespace mnemo::cpu {

namespace {

constexpr std::int64_t kWork = 32768;  ///< elements that are worth a thread's while

std::int64_t quotient(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// kDx, kChannels: what is wanted. Without kReadsX that is bias's gradient alone.
template <class E, class W, bool kDx, bool kChannels, bool kReadsX>
class RowGradients {
  using T = compute_type<E>;
  using Line = NormalizeGradientLine<T>;

 public:
  explicit RowGradients(const RowNormGradientCall& call)
      : call_(call),
        sizes_(call.sizes),
        groups_(sizes_.groups()),
        weights_(call.weight, 1),
        grad_(call.grad.data<E>()),
        x_(kReadsX ? call.x.data<E>() : nullptr),
        dx_(kDx ? call.dx.data<E>() : nullptr) {}

  /// The samples are cut into pieces of which each has sums of its own: few pieces, and sums that take far less memory
  /// than the elements do, and 16 MiB at most where there are several.
  void give() {
    constexpr std::int64_t kMostPieces = 64, kMostSums = std::int64_t{1} << 21, kLeastOfChannel = 32;
    const std::int64_t batch = sizes_.batch(), features = std::max<std::int64_t>(1, sizes_.features);
    const std::int64_t most =
        std::clamp<std::int64_t>(kMostSums / std::max<std::int64_t>(1, 2 * sizes_.channels), 1, kMostPieces);
    std::int64_t each =
        std::max(quotient(kLeastOfChannel, std::max<std::int64_t>(1, sizes_.inner)), quotient(batch, most));
    if (!kChannels) each = std::max<std::int64_t>(1, kWork / features);
    const std::int64_t pieces = std::max<std::int64_t>(1, quotient(batch, each));
    if (kChannels) sums_.resize(static_cast<std::size_t>(2 * pieces * sizes_.channels));
    if (pieces * groups_ == 1 && sizes_.inner == 1 && batch * features > 2 * kWork) {
      give_columns();
    } else {
      const std::int64_t grain = std::max<std::int64_t>(1, kWork / (each * features));
      parallel_for(pieces * groups_, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t item = begin; item < end; ++item) {
          const std::int64_t piece = item / groups_, from = piece * each, to = std::min(batch, from + each);
          give_piece(from, to, item % groups_, kChannels ? sums_.data() + 2 * piece * sizes_.channels : nullptr);
        }
      });
    }
    if (kChannels) give_channels(pieces);
  }

 private:
  static constexpr std::int64_t kFewRows = 8;

  /// What is known of a row, as far as it is asked for. `product`: the sum of weighted gradients times normalized
  /// values, which stay in the range of floats where x and the distances from its mean do not.
  Line line_of(std::int64_t row, double sum, double product) const {
    if constexpr (!kReadsX) return {};
    const T inverse = call_.inverse_deviation.data<T>()[row];
    const auto count = static_cast<double>(sizes_.features), scale = static_cast<double>(inverse);
    const T constant = call_.centered ? static_cast<T>(sum / count) : T{0};
    return {inverse, constant, mean_of(row), static_cast<T>(product * scale / count)};
  }
  T mean_of(std::int64_t row) const { return call_.centered ? call_.mean.data<T>()[row] : T{0}; }

  /// Of a row whose elements have a channel each.
  Line line_of_points(std::int64_t row) const {
    double sums[2] = {};  // of the gradient, and with the normalized value
    if constexpr (kDx) {
      const E *grad = grad_ + row * sizes_.features, *x = x_ + row * sizes_.features;
      const T mean = mean_of(row), inverse = call_.inverse_deviation.data<T>()[row];
      weights_.visit(sizes_.first_channel(row), false, [&](const auto& weight) {
        add_in_few<T>(sizes_.features, sums, [&](std::int64_t i, T(&few)[2]) {
          const T g = cast<T>(grad[i]) * weight(i);
          few[0] += g, few[1] += g * ((cast<T>(x[i]) - mean) * inverse);
        });
      });
    }
    return line_of(row, sums[0], sums[1]);
  }

  /// What some rows give to a range of channels, added in T until it is taken.
  class Few {
   public:
    explicit Few(std::int64_t channels)
        : channels_(channels), lines_(static_cast<std::size_t>(2 * quotient(channels, kOfLine))) {}
    T* products() { return lines_.empty() ? nullptr : lines_.front().values; }
    T* grads() { return lines_.empty() ? nullptr : lines_[lines_.size() / 2].values; }
    void take(double* products_to, double* grads_to) {
      for (const auto& [few, to] : {std::pair(products(), products_to), std::pair(grads(), grads_to)}) {
        for (std::int64_t i = 0; i < channels_; ++i) to[i] += static_cast<double>(few[i]), few[i] = 0;
      }
    }

   private:
    static constexpr std::int64_t kOfLine = 64 / sizeof(T);
    struct alignas(64) CacheLine {  // a vector that lies in two of them takes twice as long
      T values[kOfLine];
    };
    std::int64_t channels_;
    std::vector<CacheLine> lines_;
  };

  /// Elements `begin` to `end` of a row: dx, and what they give to the channels.
  void give_points(std::int64_t row, std::int64_t begin, std::int64_t end, const Line& line, Few& few) const {
    const std::int64_t first = row * sizes_.features + begin, count = end - begin;
    const E *grad = grad_ + first, *x = kReadsX ? x_ + first : nullptr;
    E* dx = kDx ? dx_ + first : nullptr;
    T *products = few.products(), *grads = few.grads();
    weights_.visit(sizes_.first_channel(row) + begin, false, [&](const auto& weight) {
      [[maybe_unused]] const Line of = line;
      MNEMO_INDEPENDENT
      for (std::int64_t i = 0; i < count; ++i) {
        const T g = cast<T>(grad[i]);
        if constexpr (kReadsX) {
          const T value = cast<T>(x[i]);
          if constexpr (kChannels) products[i] += g * ((value - of.center) * of.scale);
          if constexpr (kDx) dx[i] = cast<E>(of(g * weight(i), value));
        }
        if constexpr (kChannels) grads[i] += g;
      }
    });
  }
  /// The same of samples `from` to `to` of a group, one row after the other; line_of(row) is what is known of it.
  template <class LineOf>
  void give_points(std::int64_t from, std::int64_t to, std::int64_t group, std::int64_t begin, std::int64_t end,
                   const LineOf& line_of, double* sums) const {
    Few few(kChannels ? end - begin : 0);
    for (std::int64_t sample = from; sample < to; ++sample) {
      const std::int64_t row = sample * groups_ + group, channel = sizes_.first_channel(row) + begin;
      give_points(row, begin, end, line_of(row), few);
      const bool enough = (sample + 1 - from) % kFewRows == 0 || sample + 1 == to;
      if (kChannels && enough) few.take(sums + channel, sums + sizes_.channels + channel);
    }
  }

  /// A row whose channels have several elements each; those of a long one are shared out if rows are not.
  /// `of_channels`: room for two sums of each of its channels.
  void give_planes(std::int64_t row, std::vector<double>& of_channels, double* sums) const {
    const T mean = kReadsX ? mean_of(row) : T{0};
    const T inverse = kReadsX ? call_.inverse_deviation.data<T>()[row] : T{0};
    const std::int64_t inner = sizes_.inner, channels = sizes_.features / inner, first = sizes_.first_channel(row);
    const auto for_each_channel = [&](const auto& body) {  // body(number in the row, place of its first element)
      parallel_for(channels, std::max<std::int64_t>(1, kWork / inner), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t c = begin; c < end; ++c) body(c, row * sizes_.features + c * inner);
      });
    };
    for_each_channel([&](std::int64_t c, std::int64_t place) {
      const E *grad = grad_ + place, *x = kReadsX ? x_ + place : nullptr;
      double both[2] = {};  // of the gradient, and with the normalized value
      add_in_few<T>(inner, both, [&](std::int64_t i, T(&few)[2]) {
        const T g = cast<T>(grad[i]);
        few[0] += g;
        if constexpr (kReadsX) few[1] += g * ((cast<T>(x[i]) - mean) * inverse);
      });
      std::copy_n(both, 2, of_channels.begin() + 2 * c);
    });
    double sum = 0, product = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      const double* both = of_channels.data() + 2 * c;
      if constexpr (kChannels) {
        sums[first + c] += both[1];
        sums[sizes_.channels + first + c] += both[0];
      }
      const auto weight = static_cast<double>(weights_.at(first + c));
      sum += both[0] * weight, product += both[1] * weight;
    }
    if constexpr (kDx) {
      for_each_channel([&, line = line_of(row, sum, product)](std::int64_t c, std::int64_t place) {
        const E *grad = grad_ + place, *x = x_ + place;
        E* dx = dx_ + place;
        const T weight = weights_.at(first + c);
        MNEMO_INDEPENDENT
        for (std::int64_t i = 0; i < inner; ++i) dx[i] = cast<E>(line(cast<T>(grad[i]) * weight, cast<T>(x[i])));
      });
    }
  }

  void give_piece(std::int64_t from, std::int64_t to, std::int64_t group, double* sums) const {
    if (sizes_.inner > 1) {
      std::vector<double> of_channels(static_cast<std::size_t>(2 * (sizes_.features / sizes_.inner)));
      for (; from < to; ++from) give_planes(from * groups_ + group, of_channels, sums);
      return;
    }
    give_points(
        from, to, group, 0, sizes_.features, [&](std::int64_t row) { return line_of_points(row); }, sums);
  }

  /// Few and long rows, one for each sample: first what is known of each, then columns of all.
  void give_columns() {
    std::vector<Line> lines(static_cast<std::size_t>(sizes_.rows));
    parallel_for(sizes_.rows, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) lines[static_cast<std::size_t>(row)] = line_of_points(row);
    });
    parallel_for(sizes_.features, quotient(kWork, sizes_.rows), [&](std::int64_t begin, std::int64_t end) {
      give_points(
          0, sizes_.rows, 0, begin, end, [&](std::int64_t row) { return lines[static_cast<std::size_t>(row)]; },
          sums_.data());
    });
  }

  /// What the pieces' sums add up to.
  void give_channels(std::int64_t pieces) {
    const std::int64_t channels = sizes_.channels;
    parallel_for(2 * channels, std::max<std::int64_t>(1, kWork / pieces), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t piece = 1; piece < pieces; ++piece) {
        const double* from = sums_.data() + 2 * piece * channels;
        for (std::int64_t i = begin; i < end; ++i) sums_[static_cast<std::size_t>(i)] += from[i];
      }
    });
    for (std::int64_t c = 0; c < channels; ++c) {
      set_channel_value(call_.dweight, c, sums_[static_cast<std::size_t>(c)]);
      set_channel_value(call_.dbias, c, sums_[static_cast<std::size_t>(channels + c)]);
    }
  }

  const RowNormGradientCall& call_;
  const RowNormSizes sizes_;
  const std::int64_t groups_;
  const Numbers<T, W> weights_;
  const E *grad_, *x_;
  E* dx_;
  std::vector<double> sums_;  ///< of each piece those of weight's gradient, then those of bias's
};

template <class E, class W>
void give(const RowNormGradientCall& call) {
  const bool channels = call.dweight.defined() || call.dbias.defined();
  if (call.dx.defined() && channels)
    RowGradients<E, W, true, true, true>(call).give();
  else if (call.dx.defined())
    RowGradients<E, W, true, false, true>(call).give();
  else if (call.dweight.defined())
    RowGradients<E, W, false, true, true>(call).give();
  else if (call.dbias.defined())
    RowGradients<E, W, false, true, false>(call).give();
}

}  // namespace

void CpuBackend::row_norm_gradient(const RowNormGradientCall& call) {
  visit_floating(call.grad.dtype(), call.numbers_dtype(), [&]<class E, class W>(E, W) { give<E, W>(call); });
}

}  // namespace mnemo::cpu
