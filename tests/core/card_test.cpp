#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include <mnemo/core/card.h>

using namespace mnemo;

namespace {

/// The size that the card is sold with. Makers write GB; the chips hold GiB.
struct Nominal {
  std::string_view name;
  memory::Bytes gib;
};

constexpr std::array nominal{
    Nominal{"a100-40gb", 40}, Nominal{"a100-80gb", 80}, Nominal{"b200", 180},          Nominal{"h100", 80},
    Nominal{"h100-80gb", 80}, Nominal{"h200", 141},     Nominal{"jetson-orin-8gb", 8}, Nominal{"l4", 24},
    Nominal{"l40s", 48},      Nominal{"rtx3090", 24},   Nominal{"rtx3060-12gb", 12},   Nominal{"rtx4090", 24},
    Nominal{"t4", 16},        Nominal{"v100-32gb", 32},
};

}  // namespace

TEST_CASE("cards: sorted by name, every name once") {
  const auto all = cards();
  for (std::size_t i = 1; i < all.size(); ++i) {
    CAPTURE(all[i].name);
    CHECK(std::string_view(all[i - 1].name) < std::string_view(all[i].name));
  }
}

TEST_CASE("cards: found by name, and nothing by any other") {
  for (const Card& card : cards()) CHECK(find_card(std::string(card.name)) == &card);
  for (const char* name : {"", "h20", "h2000", "H200", "h200 ", "24GiB", "cpu"}) {
    CAPTURE(name);
    CHECK(find_card(name) == nullptr);
  }
}

TEST_CASE("cards: the driver reports 90 to 101 % of the size a card is sold with") {
  REQUIRE(cards().size() == nominal.size());
  for (const Nominal& sold : nominal) {
    CAPTURE(sold.name);
    const Card* card = find_card(sold.name);
    REQUIRE(card != nullptr);
    CHECK(card->capacity * 100 >= sold.gib * memory::GiB * 90);
    CHECK(card->capacity * 100 <= sold.gib * memory::GiB * 101);
  }
}

TEST_CASE("cards: every figure is positive, and says where it comes from") {
  for (const Card& card : cards()) {
    CAPTURE(card.name);
    for (const char* text : {card.title, card.capacity_source, card.context_source, card.speed_source}) {
      REQUIRE(text != nullptr);
      CHECK(!std::string_view(text).empty());
    }
    CHECK(card.context > 0);
    CHECK(card.context < card.capacity / 10);
    CHECK(card.bandwidth > 0);
    CHECK(card.float32_flops > 0);
    CHECK(card.half_flops > card.float32_flops);
  }
}

TEST_CASE("cards: h100 is another name of h100-80gb") {
  const Card* one = find_card("h100");
  const Card* other = find_card("h100-80gb");
  REQUIRE(one != nullptr);
  REQUIRE(other != nullptr);
  CHECK(one->capacity == other->capacity);
  CHECK(one->context == other->context);
  CHECK(one->bandwidth == other->bandwidth);
}
