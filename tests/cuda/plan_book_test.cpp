// Who answers: a table first, then the library, and nobody. And the shipped table says what the library says.
#include "queries.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include <mnemo/core/planning/plan_book.h>
#include <mnemo/core/planning/plan_choice.h>
#include <mnemo/core/planning/shipped_tables.h>
#include <mnemo/core/planning/tabulation.h>

using namespace queries;

namespace {

/// Counts how often it is asked; the workspace is the batch size.
class CountingPlanner final : public ConvPlanner {
 public:
  const std::string& version() const override { return version_; }
  EnginePlan plan(const ConvQuery&, std::string_view) override { return {}; }
  EnginePlan fused(const ConvQuery&, const ConvEpilogue&, std::string_view) override { return {}; }
  RankedPlans rank(const ConvQuery& query) override {
    ++asked;
    if (query.problem.batch == 13) return RankedPlans("13 is refused");
    EnginePlan plan;
    plan.engine = "eng1";
    plan.workspace = query.problem.batch;
    return RankedPlans(std::vector{plan});
  }

  std::atomic<int> asked = 0;

 private:
  std::string version_ = "0.0.0";
};

ConvQuery of_batch(std::int64_t batch) {
  return {cube(DType::float16, 2, batch, 3, 8, 28, 3), ConvPass::forward, ConvLayout::contiguous};
}

PlanBook book_of(std::shared_ptr<ConvPlanner> library, std::optional<PlanTable> shipped = {}) {
  return PlanBook({std::move(library), "there is none", std::move(shipped), PlanTable("0.0.0", "")});
}

}  // namespace

TEST_CASE("plan book: the library is asked once for each query, and never for what a table knows") {
  PlanTable shipped("0.0.0", "h200");
  EnginePlan known;
  known.engine = "eng7";
  shipped.insert(of_batch(7), {{known}, ""});
  const auto library = std::make_shared<CountingPlanner>();
  PlanBook book = book_of(library, shipped);
  for (int i = 0; i < 3; ++i) {
    CHECK(book.answer(of_batch(7))->plans.front().engine == "eng7");
    CHECK(book.answer(of_batch(8))->plans.front().workspace == 8);
    CHECK(book.answer(of_batch(13))->obstacle == "13 is refused");
  }
  CHECK(library->asked == 2);
  CHECK(book.source() == "cuDNN 0.0.0");
  CHECK(book.ranking(of_batch(7))->size() == 1);
  CHECK((*book.ranking(of_batch(7)))[0].engine == "eng1");  // a whole ranking is the library's alone
}

TEST_CASE("plan book: without a library a table answers, and what it does not know nobody does") {
  PlanTable shipped("0.0.0", "h200");
  shipped.insert(of_batch(7), {{EnginePlan{}}, ""});
  shipped.insert(of_batch(13), {{}, "13 is refused"});
  PlanBook book = book_of(nullptr, shipped);
  CHECK(book.answer(of_batch(7)).has_value());
  CHECK(book.ranking(of_batch(7))->size() == 1);
  CHECK(book.ranking(of_batch(13))->obstacle() == "13 is refused");
  CHECK_FALSE(book.answer(of_batch(8)).has_value());
  CHECK_FALSE(book.ranking(of_batch(8)).has_value());
  CHECK(book.source() == "tables of cuDNN 0.0.0");
}

TEST_CASE("plan book: threads that ask for the same keys get the same answers") {
  const auto library = std::make_shared<CountingPlanner>();
  PlanBook book = book_of(library);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::int64_t i = 0; i < 2000; ++i) {
        const std::int64_t batch = 20 + i % 50;
        if (book.answer(of_batch(batch))->plans.front().workspace != batch) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(library->asked == 50);
}

TEST_CASE("plan book: threads that ask the real library at once get what one thread gets") {
  const auto planner = planner_of("h200");
  if (!planner) return;
  std::vector<ConvQuery> queries;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    for (std::int64_t size = 8; size <= 20; size += 4) {
      queries.push_back({cube(DType::float16, 3, 2, 16, 32, size, 3, 1), pass, ConvLayout::channels_last});
    }
  }
  std::vector<PlanAnswer> alone;
  for (const ConvQuery& query : queries) alone.push_back(ask(*planner, query));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < queries.size(); ++i) {
        if (!(ask(*planner, queries[i]) == alone[i])) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

namespace {

/// Entries of the shipped table of every card, each asked again of the library.
void compare_with_library(std::size_t entries_per_card) {
  std::size_t compared = 0;
  for (const CardProperties& card : card_properties()) {
    CAPTURE(card.name);
    const auto planner = planner_of(card.name);
    if (!planner) return;
    const auto table = shipped_table(planner->version(), card.name);
    if (!table) {
      MESSAGE("SKIPPED: no table of cuDNN ", planner->version(), " for ", card.name);
      continue;
    }
    std::vector<ConvQuery> queries;
    for (const auto& [query, answer] : *table) queries.push_back(query);
    std::ranges::sort(queries, {}, [](const ConvQuery& query) { return hash(query); });
    std::mt19937 generator(7);
    std::ranges::shuffle(queries, generator);
    queries.resize(std::min(queries.size(), entries_per_card));
    PlanTable asked(planner->version(), card.name);
    for (const ConvQuery& query : queries) {
      asked.insert(query, ask(*planner, query));
      CAPTURE(describe(query));
      CHECK(*asked.find(query) == *table->find(query));
      ++compared;
    }
  }
  MESSAGE(compared, " entries compared");
}

}  // namespace

TEST_CASE("shipped table: the library says the same") { compare_with_library(60); }
TEST_CASE("shipped table: the library says the same of every entry" * doctest::skip()) {
  compare_with_library(1'000'000);
}

TEST_CASE("shipped table: there is one for every card that has properties") {
  for (const CardProperties& card : card_properties()) {
    CAPTURE(card.name);
    const auto table = shipped_table(kKnownVersion, card.name);
    REQUIRE(table.has_value());
    CHECK(table->size() > 10000);
  }
}
