#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/philox.h>
#include <mnemo/core/random.h>

#include "numbers.h"

using namespace mnemo;
using numbers::same_bits;
using numbers::Threads;

namespace {

using Kind = RandomCall::Kind;

std::vector<std::uint32_t> words(const Philox4& block) { return {block.words, block.words + 4}; }

Array drawn(const RandomCall& call, const Shape& shape, DType dtype) {
  const Array array = numbers::unwritten(shape, dtype);
  Device("cpu").backend().random(call, array);
  return array;
}

double mean_of(const std::vector<double>& values, double power = 1, double center = 0) {
  double sum = 0;
  for (double value : values) sum += std::pow(value - center, power);
  return sum / static_cast<double>(values.size());
}

/// The program's stream as it was before the test.
class OwnStream {
 public:
  ~OwnStream() { set_random_state(before_); }

 private:
  RandomState before_ = random_state();
};

}  // namespace

// The vectors that the authors of Philox published with Random123 (kat_vectors, philox4x32 of 10 rounds).
TEST_CASE("philox: known answers") {
  CHECK(words(philox({{0, 0, 0, 0}}, 0, 0)) ==
        std::vector<std::uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  CHECK(words(philox({{ones, ones, ones, ones}}, ones, ones)) ==
        std::vector<std::uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(words(philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0)) ==
        std::vector<std::uint32_t>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  // The block number is the counter's lower half, the seed is the key.
  CHECK(words(philox_block(0x299f31d0a4093822, 0x85a308d3243f6a88)) ==
        words(philox({{0x243f6a88, 0x85a308d3, 0, 0}}, 0xa4093822, 0x299f31d0)));
}

TEST_CASE("random: element i is word offset + i of the stream, on any number of threads and wherever the run begins") {
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{4}, (std::uint64_t{1} << 32) - 100,
                                     (std::uint64_t{1} << 34) - 100, std::uint64_t{1} << 63}) {
    for (const Kind kind : {Kind::uniform, Kind::normal, Kind::integer}) {
      const RandomCall call{kind, 0, kind == Kind::integer ? 1000.0 : 1.0, 42, offset};
      const std::int64_t count = 100'003;
      Array first;
      for (int threads = 1; threads <= 3; ++threads) {
        const Threads scope(threads);
        const Array array = drawn(call, {count}, DType::float64);
        if (threads == 1) first = array;
        CHECK(same_bits(array, first));
      }
      const auto all = first.values<double>();
      for (const std::int64_t begin : {4, 512, 32768, 99'996}) {
        RandomCall part = call;
        part.offset += static_cast<std::uint64_t>(begin);
        const auto rest = drawn(part, {count - begin}, DType::float64).values<double>();
        CHECK(std::equal(rest.begin(), rest.end(), all.begin() + begin, all.end()));
      }
      if (kind == Kind::normal) continue;
      int wrong = 0;
      for (std::size_t i = 0; i < 1000; ++i) {
        const std::uint64_t at = offset + i;
        const std::uint32_t word = philox_block(42, at / 4).words[at % 4];
        const double expected = kind == Kind::uniform ? static_cast<double>(word / 256) / 16777216
                                                      : static_cast<double>(std::uint64_t{word} * 1000 >> 32);
        wrong += all[i] != expected;
      }
      CHECK(wrong == 0);
    }
  }
  CHECK_FALSE(same_bits(drawn({Kind::uniform, 0, 1, 1, 0}, {64}, DType::float32),
                        drawn({Kind::uniform, 0, 1, 2, 0}, {64}, DType::float32)));
}

TEST_CASE("random: moments and ranges") {
  const std::int64_t count = 1'000'000;
  const auto uniform = drawn({Kind::uniform, -3, 5, 7, 0}, {count}, DType::float32).values<double>();
  CHECK(*std::min_element(uniform.begin(), uniform.end()) >= -3);
  CHECK(*std::max_element(uniform.begin(), uniform.end()) < 5);
  CHECK(mean_of(uniform) == doctest::Approx(1).epsilon(0.01));
  CHECK(mean_of(uniform, 2, 1) == doctest::Approx(64.0 / 12).epsilon(0.01));

  const auto normal = drawn({Kind::normal, 2, 3, 8, 0}, {count}, DType::float32).values<double>();
  CHECK(mean_of(normal) == doctest::Approx(2).epsilon(0.01));
  CHECK(mean_of(normal, 2, 2) == doctest::Approx(9).epsilon(0.01));
  CHECK(std::abs(mean_of(normal, 3, 2)) < 0.3);
  CHECK(mean_of(normal, 4, 2) == doctest::Approx(3 * 81).epsilon(0.03));
  double product = 0;
  for (std::size_t i = 0; i + 1 < normal.size(); i += 2) product += (normal[i] - 2) * (normal[i + 1] - 2);
  CHECK(std::abs(product) / (count / 2.0) < 0.05);  // both of a pair are independent

  std::vector<std::int64_t> counts(6);
  for (std::int64_t value : drawn({Kind::integer, -2, 4, 9, 0}, {count}, DType::int32).values<std::int64_t>()) {
    REQUIRE(value >= -2);
    REQUIRE(value < 4);
    ++counts[static_cast<std::size_t>(value + 2)];
  }
  for (std::int64_t n : counts) CHECK(std::abs(static_cast<double>(n) - count / 6.0) < 5 * std::sqrt(count / 6.0));
}

// 1 - 2^-24 became 1 in the half types, and 2 - 2^-24 became 2 in float32.
TEST_CASE("random: a uniform number never reaches the upper bound, in any dtype") {
  for (DType dtype : numbers::kFloating) {
    constexpr double bounds[][2] = {{0, 1}, {1, 2}, {-1, 0}, {0.1, 0.7}, {-0.3, 0.3}, {1000, 1001}};
    for (const auto& bound : bounds) {
      const double low = bound[0], high = bound[1];
      CAPTURE(std::string(name(dtype)));
      CAPTURE(low);
      CAPTURE(high);
      double least = high, most = low;
      for (double value : drawn({Kind::uniform, low, high, 3, 0}, {400'000}, dtype).values<double>()) {
        least = std::min(least, value);
        most = std::max(most, value);
      }
      CHECK(least >= low);
      CHECK(most < high);
      const UniformLimits limits = uniform_limits(low, high, dtype);
      visit(dtype, [&](auto zero) {
        using T = decltype(zero);
        // The limits are numbers of the dtype, and nothing of it lies between them and the bounds.
        CHECK(cast<double>(cast<T>(limits.least)) == limits.least);
        CHECK(cast<double>(cast<T>(limits.most)) == limits.most);
        CHECK(limits.least >= low);
        CHECK(limits.most < high);
        const auto is_number = [](double value) { return cast<double>(cast<T>(value)) == value; };
        if constexpr (std::is_same_v<T, double>)
          CHECK(std::nextafter(limits.most, high) == high);
        else
          CHECK_FALSE(is_number((limits.most + high) / 2));
        if (limits.least > low) CHECK_FALSE(is_number((limits.least + low) / 2));
      });
    }
  }
  CHECK(drawn({Kind::uniform, 3, 3, 1, 0}, {4}, DType::float16).values<double>() == std::vector<double>(4, 3));
}

TEST_CASE("dropout: the rate, the scale, and the same places wherever it runs") {
  for (DType dtype : numbers::kFloating) {
    for (const double p : {0.0, 0.25, 0.5, 0.9, 1.0}) {
      const std::int64_t count = 200'001;
      const Array x = full({count}, 0.5, dtype, "cpu");
      CAPTURE(std::string(name(dtype)));
      CAPTURE(p);
      Array first;
      for (int threads = 1; threads <= 3; ++threads) {
        const Threads scope(threads);
        const Array y = dropout({p, 5, 16}, x);
        if (threads == 1) first = y;
        CHECK(same_bits(y, first));
      }
      std::int64_t dropped = 0, wrong = 0, i = 16;
      for (double value : first.values<double>()) {
        const bool kept =
            static_cast<double>(uniform_from(philox_block(5, static_cast<std::uint64_t>(i) / 4).words[i % 4])) >=
            static_cast<double>(static_cast<float>(p));
        ++i;
        dropped += value == 0;
        wrong += kept ? std::abs(value * (1 - p) - 0.5) > numbers::rounding(dtype) * 2 : value != 0;
      }
      CHECK(wrong == 0);
      CHECK(std::abs(static_cast<double>(dropped) - p * static_cast<double>(count)) <=
            5 * std::sqrt(count * p * (1 - p)));
    }
  }
}

TEST_CASE("the program's stream: every use takes the next numbers, a seed starts anew") {
  const OwnStream stream;
  manual_seed(11);
  CHECK(random_state().seed == 11);
  CHECK(random_state().offset == 0);
  const Array a = random({}, {5}), b = random({}, {5});
  CHECK(random_state().offset == 16);
  CHECK_FALSE(same_bits(a, b));
  const RandomState before = random_state();
  const Array c = random({.kind = Kind::normal}, {3});
  CHECK(take_random(1).offset == before.offset + 4);
  set_random_state(before);
  CHECK(same_bits(random({.kind = Kind::normal}, {3}), c));
  manual_seed(11);
  CHECK(same_bits(random({}, {5}), a));
  CHECK(same_bits(a, drawn({Kind::uniform, 0, 1, 11, 0}, {5}, DType::float32)));
  CHECK(take_random(0).offset == 8);
  CHECK(random_state().offset == 8);

  // Where there is no memory or no such number, nothing is taken.
  const Device small = Device::open("virtual:1MiB");
  CHECK_THROWS_AS(random({}, {1 << 20}, DType::float32, small), OutOfMemory);
  CHECK_THROWS_AS(random({.kind = Kind::integer, .low = 5, .high = 5}, {2}), ConfigError);
  CHECK_THROWS_AS(random({.low = 1, .high = 0}, {2}), ConfigError);
  CHECK_THROWS_AS(random({.kind = Kind::normal, .high = -1}, {2}), ConfigError);
  CHECK_THROWS_AS(random({.low = std::numeric_limits<double>::quiet_NaN()}, {2}), ConfigError);
  DropoutCall call;
  CHECK_THROWS_AS(dropout_next(call, Array({2}, DType::int32, "cpu")), Error);
  CHECK(random_state().offset == 8);
  CHECK(dropout_next(call, Array({2}, DType::float32, "cpu")).defined());
  CHECK(call.offset == 8);
  CHECK(random_state().offset == 12);
}
