// Element by element over more than 2^32 elements.
#include "large.h"

#include <mnemo/core/functors.h>

using namespace mnemo;
using large::at;
using large::Card;
using large::k2To31;
using large::kCount;

namespace {

constexpr DType kHalf = DType::bfloat16;

/// (65537, 32772) of more than 2^31 elements, which lie apart in both directions.
constexpr std::int64_t kRows = 65537, kColumns = 32772, kPitch = 65550;

Array apart(const Array& whole) { return whole.slice(1, 0, 2 * kColumns, 2); }
std::int64_t place_apart(std::int64_t i) { return i / kColumns * kPitch + i % kColumns * 2; }

}  // namespace

TEST_CASE("cuda: large: unary operations and their gradients") {
  Card card;
  const Array x = card.numbers({kCount}, kHalf), g = card.numbers({kCount}, kHalf), y = card.zeros({kCount}, kHalf);
  card.sample([&] { card.backend().unary(UnaryOp::relu, {}, x, y); });
  card.compare(y, [&](std::int64_t i) { return std::max(at(x, i), 0.0); });
  card.sample([&] { card.backend().unary_gradient(UnaryOp::relu, {}, g, x, y); });
  card.compare(y, [&](std::int64_t i) { return at(x, i) > 0 ? at(g, i) : 0; });
}

TEST_CASE("cuda: large: operations and copies whose operands lie apart") {
  Card card;
  const Array whole = card.numbers({kRows, kPitch}, kHalf), x = apart(whole), y = card.zeros({kRows, kColumns}, kHalf);
  card.sample([&] { card.backend().unary(UnaryOp::neg, {}, x, y); });
  card.compare(y, [&](std::int64_t i) { return -at(whole, place_apart(i)); });
  card.sample([&] { card.backend().binary(BinaryOp::add, x, x, y); });
  card.compare(y, [&](std::int64_t i) { return 2 * at(whole, place_apart(i)); });
  card.sample([&] { card.backend().copy(x, y); });
  card.compare(y, [&](std::int64_t i) { return at(whole, place_apart(i)); });
  const Array wide = card.zeros({kRows, kColumns}, DType::float64);
  card.sample([&] { card.backend().copy(x, wide); });
  card.compare(wide, [&](std::int64_t i) { return at(whole, place_apart(i)); });
}

TEST_CASE("cuda: large: binary operations and comparisons") {
  Card card;
  const Array a = card.numbers({kCount}, kHalf), b = card.numbers({kCount}, kHalf), y = card.zeros({kCount}, kHalf);
  card.sample([&] { card.backend().binary(BinaryOp::subtract, a, b, y); });
  card.compare(y, [&](std::int64_t i) { return at(a, i) - at(b, i); });
  const Array less = card.zeros({kCount}, DType::boolean);
  card.sample([&] { card.backend().compare(CompareOp::less, a, b, less); });
  card.compare(less, [&](std::int64_t i) { return at(a, i) < at(b, i) ? 1 : 0; });
  const Array bytes = card.numbers({kCount}, DType::uint8), sums = card.zeros({kCount}, DType::uint8);
  card.sample([&] { card.backend().binary(BinaryOp::add, bytes, bytes, sums); });
  card.compare(sums, [&](std::int64_t i) { return 2 * at(bytes, i); });
}

TEST_CASE("cuda: large: a bias for every row") {
  Card card;
  constexpr std::int64_t rows = 140000, columns = 32768;
  const Array x = card.numbers({rows, columns}, kHalf), y = card.zeros({rows, columns}, kHalf);
  const Array bias = Array::from(std::vector<float>(columns, 0.5F), {columns}, card.device()).to(kHalf);
  card.sample([&] { card.backend().binary(BinaryOp::add, x, bias.expand({rows, columns}), y); });
  card.compare(y, [&](std::int64_t i) { return at(x, i) + 0.5; });
}

TEST_CASE("cuda: large: casts, fills and transposes") {
  Card card;
  const Array x = card.numbers({kCount}, kHalf), wide = card.zeros({kCount}, DType::float32);
  card.sample([&] { card.backend().copy(x, wide); });
  card.compare(wide, [&](std::int64_t i) { return at(x, i); });
  const Array bytes = card.numbers({k2To31 + 77}, DType::uint8), numbers = card.zeros({k2To31 + 77}, DType::int32);
  card.sample([&] { card.backend().copy(bytes, numbers); });
  card.compare(numbers, [&](std::int64_t i) { return at(bytes, i); });
  card.sample([&] { card.backend().fill(wide, 3); });
  card.compare(wide, [](std::int64_t) { return 3; });
  constexpr std::int64_t rows = 65544, columns = 65536;
  const Array matrix = card.numbers({rows, columns}, DType::uint8), turned = card.zeros({columns, rows}, DType::uint8);
  card.sample([&] { card.backend().copy(matrix.transpose(0, 1), turned); });
  card.compare(
      turned, [&](std::int64_t i) { return at(matrix, i % rows * columns + i / rows); }, 1 << 26);
  const Array half = card.numbers({rows, 32800}, kHalf), cast = card.zeros({32800, rows}, DType::float32);
  card.sample([&] { card.backend().copy(half.transpose(0, 1), cast); });
  card.compare(
      cast, [&](std::int64_t i) { return at(half, i % rows * 32800 + i / rows); }, 1 << 26);
}

TEST_CASE("cuda: large: random numbers and dropout") {
  Card card;
  const Array x = card.numbers({kCount}, kHalf), y = card.zeros({kCount}, kHalf);
  const auto drawn = [](std::int64_t i) {
    RandomCall call{.seed = 5, .offset = static_cast<std::uint64_t>(i)};
    const Array one({1}, DType::float32, "cpu");
    Device("cpu").backend().random(call, one);
    return one.item();
  };
  card.sample([&] { card.backend().random({.seed = 5}, y); });
  card.compare(y, drawn);
  card.sample([&] { card.backend().dropout({.p = 0.25, .seed = 5}, x, y); });
  card.compare(y, [&](std::int64_t i) { return drawn(i) < 0.25 ? 0 : at(x, i) / 0.75; });
}

TEST_CASE("cuda: large: bits, of which there are more than 2^34") {
  Card card;
  constexpr std::int64_t count = 4 * kCount;
  const Array x = card.numbers({count}, kHalf), bits = card.zeros({(count + 7) / 8}, DType::uint8);
  card.sample([&] { card.backend().sign_bits(x, bits); });
  card.compare(
      bits,
      [&](std::int64_t i) {
        double byte = 0;
        for (int k = 0; k < 8 && 8 * i + k < count; ++k) byte += at(x, 8 * i + k) > 0 ? 1 << k : 0;
        return byte;
      },
      1 << 26, 0);
  const Array some = card.numbers({(count + 7) / 8}, DType::uint8), y = card.zeros({count}, kHalf);
  card.sample([&] { card.backend().keep_bits(x, some, y); });
  card.compare(y, [&](std::int64_t i) { return (static_cast<int>(at(some, i / 8)) >> i % 8 & 1) != 0 ? at(x, i) : 0; });
}
