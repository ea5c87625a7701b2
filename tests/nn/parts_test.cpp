// Parts: what they refuse. How a step goes on in them is in tests/examples/fit_test.cpp.
#include <mnemo/nn/parts.h>

#include <string>

#include <doctest/doctest.h>
#include <mnemo/core/error.h>

using namespace mnemo;

// Less than nothing was taken for the whole batch, and of a batch of -1 nothing was trained but the update.
TEST_CASE("parts: a batch or a part that has no samples is refused with its number, before anything is called") {
  CHECK_THROWS_WITH_AS(nn::Parts(-3), doctest::Contains("-3 samples in a part"), Error);
  for (const std::int64_t batch : {-1, 0}) {
    nn::Parts parts(4);
    int calls = 0;
    const auto step = [&] {
      parts.step(
          {}, {}, batch, [&](std::int64_t, std::int64_t) { ++calls; }, [&] { ++calls; });
    };
    const std::string text = "a batch of " + std::to_string(batch) + " samples";
    CHECK_THROWS_WITH_AS(step(), doctest::Contains(text.c_str()), Error);
    CHECK(calls == 0);
  }
}
