// random, dropout: element i takes word `offset + i` of the Philox stream of `seed`.
#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/cpu/elements.h>
#include <mnemo/core/philox.h>
#include <mnemo/core/random.h>

namespace mnemo::cpu {

namespace {

/// Where a call's numbers begin.
std::uint64_t offset_of(std::uint64_t offset, const Array& shift) {
  return offset + (shift.defined() ? static_cast<std::uint64_t>(*shift.data<std::int64_t>()) : 0);
}

/// The words [first, first + count) of a stream.
void words(std::uint64_t seed, std::uint64_t first, std::int64_t count, std::uint32_t* out) {
  for (std::int64_t i = 0; i < count;) {
    const std::uint64_t at = first + static_cast<std::uint64_t>(i);
    const Philox4 block = philox_block(seed, at / 4);
    for (std::uint64_t j = at % 4; j < 4 && i < count; ++j) out[i++] = block.words[j];
  }
}

void fill_random(const RandomCall& call, UniformLimits limits, std::uint64_t first, std::int64_t count, double* out) {
  std::uint32_t word[kBuffer];
  words(call.seed, first, count, word);
  switch (call.kind) {
    case RandomCall::Kind::uniform:
      for (std::int64_t i = 0; i < count; ++i) {
        const double value = add_product(call.low, call.high - call.low, static_cast<double>(uniform_from(word[i])));
        out[i] = std::max(limits.least, std::min(limits.most, value));
      }
      return;
    case RandomCall::Kind::integer:
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = call.low + std::floor((call.high - call.low) * (static_cast<double>(word[i]) * 0x1p-32));
      }
      return;
    case RandomCall::Kind::normal:
      for (std::int64_t i = 0; i < count; i += 2) {
        double pair[2];
        normal_from(word[i], i + 1 < count ? word[i + 1] : 0, pair[0], pair[1]);
        for (std::int64_t j = 0; j < 2 && i + j < count; ++j) out[i + j] = add_product(call.low, call.high, pair[j]);
      }
      return;
  }
}

}  // namespace

void CpuBackend::random(const RandomCall& call, const Array& out) {
  const UniformLimits limits = uniform_limits(call.low, call.high, out.dtype());
  const std::uint64_t offset = offset_of(call.offset, call.shift);
  parallel_for(out.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    double buffer[kBuffer];
    for (std::int64_t i = begin; i < end; i += kBuffer) {
      // A normal number needs its pair's words: the last chunk is filled to an even count and the extra one dropped.
      const std::int64_t count = std::min(kBuffer, end - i);
      const std::int64_t even = call.kind == RandomCall::Kind::normal ? count + count % 2 : count;
      fill_random(call, limits, offset + static_cast<std::uint64_t>(i), even, buffer);
      store(buffer, count, out, out.layout().offset + i, 1);
    }
  });
}

void CpuBackend::dropout(const DropoutCall& call, const Array& x, const Array& out) {
  const auto keep = static_cast<float>(call.p);
  const double scale = call.p < 1 ? 1 / (1 - call.p) : 0;
  const std::uint64_t offset = offset_of(call.offset, call.shift);
  const auto run = [&]<class C>(C) {
    parallel_for(out.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      C values[kBuffer];
      std::uint32_t word[kBuffer];
      for (std::int64_t i = begin; i < end; i += kBuffer) {
        const std::int64_t count = std::min(kBuffer, end - i);
        words(call.seed, offset + static_cast<std::uint64_t>(i), count, word);
        load(x, x.layout().offset + i, 1, count, values);
        for (std::int64_t j = 0; j < count; ++j)
          values[j] = uniform_from(word[j]) >= keep ? values[j] * static_cast<C>(scale) : C{0};
        store(values, count, out, out.layout().offset + i, 1);
      }
    });
  };
  x.dtype() == DType::float64 ? run(double{}) : run(float{});
}

}  // namespace mnemo::cpu
