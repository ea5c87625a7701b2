#include "queries.h"

#include <atomic>
#include <thread>

#include <mnemo/cuda/plan_cache.h>

using namespace queries;

namespace {

/// A planner that counts how often it is asked; the workspace is the batch size.
class CountingPlanner final : public ConvPlanner {
 public:
  const std::string& version() const override { return version_; }
  const CardProperties& card() const override { return card_properties().front(); }
  RankedPlans rank(const ConvQuery& query) override {
    ++asked;
    EnginePlan plan;
    plan.engine = "eng1";
    plan.workspace = query.problem.batch;
    return RankedPlans(std::vector{plan});
  }

  std::atomic<int> asked = 0;

 private:
  std::string version_ = "0.0.0";
};

}  // namespace

TEST_CASE("plan cache: asks once for each query and policy") {
  const auto planner = std::make_shared<CountingPlanner>();
  PlanCache cache(planner);
  const ConvQuery query{cube(DType::float16, 2, 7, 3, 8, 28, 3), ConvPass::forward, ConvLayout::contiguous};
  const PlanChoice& choice = cache.choice(query, {});
  REQUIRE(choice.plan.has_value());
  CHECK(choice.plan->workspace == 7);
  for (int i = 0; i < 10; ++i) CHECK(&cache.choice(query, {}) == &choice);
  CHECK(planner->asked == 1);
  CHECK(cache.size() == 1);

  PlanPolicy other = parse_plan_policy("eng2");
  CHECK_FALSE(cache.choice(query, other).plan.has_value());
  CHECK_FALSE(cache.choice(query, other).plan.has_value());
  other.allow_tf32 = true;
  CHECK_FALSE(cache.choice(query, other).plan.has_value());
  CHECK(planner->asked == 3);
  CHECK(cache.size() == 3);
}

TEST_CASE("plan cache: every member of a query counts") {
  const ConvQuery query{cube(DType::float16, 2, 7, 3, 8, 28, 3), ConvPass::forward, ConvLayout::contiguous};
  std::vector<ConvQuery> queries(1, query);
  auto vary = [&](auto change) { change(queries.emplace_back(query)); };
  vary([](ConvQuery& q) { q.pass = ConvPass::data_gradient; });
  vary([](ConvQuery& q) { q.pass = ConvPass::weight_gradient; });
  vary([](ConvQuery& q) { q.layout = ConvLayout::channels_last; });
  vary([](ConvQuery& q) { q.problem.dtype = DType::bfloat16; });
  vary([](ConvQuery& q) { q.problem.spatial_rank = 3; });
  vary([](ConvQuery& q) { q.problem.batch = 8; });
  vary([](ConvQuery& q) { q.problem.in_channels = 4; });
  vary([](ConvQuery& q) { q.problem.out_channels = 4; });
  vary([](ConvQuery& q) { q.problem.groups = 2; });
  for (std::size_t d = 0; d < 3; ++d) {
    vary([d](ConvQuery& q) { q.problem.in[d] += 1; });
    vary([d](ConvQuery& q) { q.problem.out[d] += 1; });
    vary([d](ConvQuery& q) { q.problem.kernel[d] += 1; });
    vary([d](ConvQuery& q) { q.problem.stride[d] += 1; });
    vary([d](ConvQuery& q) { q.problem.padding[d] += 1; });
    vary([d](ConvQuery& q) { q.problem.dilation[d] += 1; });
  }
  const auto planner = std::make_shared<CountingPlanner>();
  PlanCache cache(planner);
  for (int round = 0; round < 2; ++round) {
    for (const ConvQuery& one : queries) cache.choice(one, {});
  }
  CHECK(cache.size() == queries.size());
  CHECK(planner->asked == static_cast<int>(queries.size()));
  for (std::size_t a = 0; a < queries.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) CHECK(hash(queries[a]) != hash(queries[b]));
  }
}

TEST_CASE("plan cache: threads that ask for the same keys get the same answers") {
  PlanCache cache(std::make_shared<CountingPlanner>());
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::int64_t i = 0; i < 2000; ++i) {
        const std::int64_t batch = 1 + i % 50;
        const ConvQuery query{cube(DType::float16, 2, batch, 3, 8, 28, 3), ConvPass::forward, ConvLayout::contiguous};
        if (cache.choice(query, {}).plan->workspace != batch) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(cache.size() == 50);
}

TEST_CASE("plan cache: threads that ask the real library at once get what one thread gets") {
  const auto planner = planner_of("h200");
  if (!planner) return;
  std::vector<ConvQuery> queries;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    for (std::int64_t size = 8; size <= 20; size += 4) {
      queries.push_back({cube(DType::float16, 3, 2, 16, 32, size, 3, 1), pass, ConvLayout::channels_last});
    }
  }
  PlanCache alone(planner), together(planner);
  for (const ConvQuery& query : queries) alone.choice(query, {});
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (const ConvQuery& query : queries) {
        if (!(together.choice(query, {}) == alone.choice(query, {}))) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(together.size() == queries.size());
}

TEST_CASE("plan cache: over the real library") {
  const auto planner = planner_of("h200");
  if (!planner) return;
  PlanCache cache(planner);
  const ConvQuery query{cube(DType::bfloat16, 3, 2, 16, 32, 16, 3, 1), ConvPass::weight_gradient,
                        ConvLayout::channels_last};
  const PlanChoice& choice = cache.choice(query, {});
  REQUIRE_MESSAGE(choice.plan, choice.reason);
  RankedPlans plans = planner->rank(query);
  CHECK(choice == choose({}, DType::bfloat16, plans));
  CHECK(&cache.choice(query, {}) == &choice);
}
