// Adam whose moments are codes of the dynamic map, a block at a time: decoded, updated as usual, coded again with the
// block's new largest magnitude.
#include <cmath>

#include <mnemo/core/cpu/elements.h>
#include <mnemo/core/cpu/update.h>
#include <mnemo/core/dynamic_map.h>

namespace mnemo::cpu {

namespace {

template <class C>
C largest_of(const C* values, std::int64_t count) {
  C largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

/// One block, and the codes and largest magnitude of its moments.
template <class C>
void adam_block(const UpdateCall& call, std::int64_t count, C* parameter, const C* gradient, std::uint8_t* first,
                std::uint8_t* second, float& first_largest, float& second_largest) {
  const DynamicMap &with_sign = signed_map(), &without_sign = unsigned_map();
  const AdamNumbers<C> numbers(call);
  C means[kMomentBlock], squares[kMomentBlock];
  for (std::int64_t i = 0; i < count; ++i) {
    means[i] = static_cast<C>(with_sign[first[i]]) * static_cast<C>(first_largest);
    squares[i] = static_cast<C>(without_sign[second[i]]) * static_cast<C>(second_largest);
    numbers.apply(gradient[i], parameter[i], means[i], squares[i]);
  }
  first_largest = static_cast<float>(largest_of(means, count));
  second_largest = static_cast<float>(largest_of(squares, count));
  const auto share = [](C value, float largest) { return largest > 0 ? value / static_cast<C>(largest) : C{0}; };
  for (std::int64_t i = 0; i < count; ++i) {
    first[i] = nearest_code(with_sign, share(means[i], first_largest));
    // A square that became 0 would leave its mean a step of mean / epsilon: at least the smallest one is kept.
    const std::uint8_t code = nearest_code(without_sign, share(squares[i], second_largest));
    second[i] = code == 0 && squares[i] > 0 ? 1 : code;
  }
}

template <class C>
void update_slot(const UpdateCall& call, const UpdateSlot& slot) {
  const auto base = [](const Array& array) { return array.layout().offset; };
  const C inverse = inverse_of<C>(call.scale);
  std::uint8_t* first = slot.first.data<std::uint8_t>();
  std::uint8_t* second = slot.second.data<std::uint8_t>();
  parallel_for(slot.parameter.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    static_assert(kGrain % kMomentBlock == 0, "a block belongs to one thread");
    C parameter[kMomentBlock], gradient[kMomentBlock];
    for (std::int64_t i = begin; i < end; i += kMomentBlock) {
      const std::int64_t count = std::min(kMomentBlock, end - i), block = i / kMomentBlock;
      load(slot.parameter, base(slot.parameter) + i, 1, count, parameter);
      load(slot.gradient, base(slot.gradient) + i, 1, count, gradient);
      for (std::int64_t j = 0; j < count; ++j) gradient[j] *= inverse;
      adam_block(call, count, parameter, gradient, first + i, second + i, slot.first_largest.data<float>()[block],
                 slot.second_largest.data<float>()[block]);
      store(parameter, count, slot.parameter, base(slot.parameter) + i, 1);
      if (slot.half.defined()) store(parameter, count, slot.half, base(slot.half) + i, 1);
    }
  });
}

}  // namespace

void update_in_8_bits(const UpdateCall& call, const UpdateSlot& slot) {
  if (slot.parameter.dtype() == DType::float64)
    update_slot<double>(call, slot);
  else
    update_slot<float>(call, slot);
}

}  // namespace mnemo::cpu
