// That indices of 32 bits are found out where 64 are needed, and how.
#include "large.h"
#include "launching.h"

using namespace mnemo;
using large::Card;
using large::kCount;

namespace {

/// Element i + 1 for i, by threads that count in Index.
template <class Index>
__global__ void count_up(const std::uint8_t* x, std::uint8_t* out, std::int64_t count) {
  const auto step = static_cast<Index>(gridDim.x * blockDim.x);
  auto i = static_cast<Index>(blockIdx.x * blockDim.x + threadIdx.x);
  const std::int64_t turns = (count - static_cast<std::int64_t>(i) + step - 1) / static_cast<std::int64_t>(step);
  for (std::int64_t turn = 0; turn < turns; ++turn) {
    out[i] = static_cast<std::uint8_t>(x[i] + 1);
    i = static_cast<Index>(static_cast<std::uint64_t>(i) + static_cast<std::uint64_t>(step));  // wraps around
  }
}

template <class Index>
void run(Card& card, const Array& x, const Array& out) {
  card.sample([&] {
    launching::start(8448, 256, count_up<Index>, x.data<std::uint8_t>(), out.data<std::uint8_t>(), out.numel());
  });
}

}  // namespace

TEST_CASE("cuda: emulation: a kernel that counts in 32 bits is found out, one that counts in 64 is not") {
  Card card;
  const Array x = card.numbers({kCount}, DType::uint8), out = card.zeros({kCount}, DType::uint8);
  run<std::int64_t>(card, x, out);
  card.compare(out, [&](std::int64_t i) { return large::at(x, i) + 1; });
  {
    const emulator::Findings findings;
    run<std::int32_t>(card, x, out);
    CHECK(findings.count(emulator::Finding::Kind::address, "") > 0);
  }
  run<std::uint32_t>(card, x, out);
  CHECK(card.written(out).gap >= large::kBeyond);
}
