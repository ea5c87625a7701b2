// What a layer's convolutions did last time is found without asking the device, and nothing else is.
#include <doctest/doctest.h>

#include <functional>
#include <thread>
#include <vector>

#include <mnemo/core/planning/latest_plans.h>

#include "core/counting_decisions.h"

using namespace mnemo;
using Choice = ConvPolicy::Choice;

namespace {

constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient};

ConvProblem problem_of(std::int64_t batch) {
  return {.batch = batch,
          .in_channels = 4,
          .out_channels = 6,
          .in = {1, 9, 8},
          .kernel = {1, 3, 3},
          .out = {1, 9, 8},
          .padding = {0, 1, 1}};
}

bool is_same(const ConvPlan& a, const ConvPlan& b) {
  return a.algorithm == b.algorithm && a.workspace == b.workspace && a.built == b.built;
}

}  // namespace

TEST_CASE("latest plans: the device is asked once for each pass") {
  const auto decisions = std::make_shared<const CountingDecisions>();
  const auto plans = std::make_shared<LatestPlans>();
  for (int step = 0; step < 5; ++step) {
    for (const ConvPass pass : kPasses) plans->plan(*decisions, problem_of(2), pass, {});
  }
  CHECK(decisions->asked() == 3);
  for (const ConvPass pass : kPasses) {
    const ConvPlan plan = plans->plan(*decisions, problem_of(2), pass, {});
    CHECK(decisions->asked() == 0);
    CHECK(plan.built != nullptr);
    CHECK(is_same(plan, decisions->conv(problem_of(2), pass, {})));
    decisions->asked();
  }
}

TEST_CASE("latest plans: whatever a decision depends on asks anew") {
  const std::vector<std::function<void(ConvProblem&, ConvPolicy&)>> changes{
      [](ConvProblem& p, ConvPolicy&) { p.batch = 3; },
      [](ConvProblem& p, ConvPolicy&) { p.in_channels = 8; },
      [](ConvProblem& p, ConvPolicy&) { p.out_channels = 2; },
      [](ConvProblem& p, ConvPolicy&) { p.groups = 2; },
      [](ConvProblem& p, ConvPolicy&) { p.in[2] = 7; },
      [](ConvProblem& p, ConvPolicy&) { p.kernel[1] = 2; },
      [](ConvProblem& p, ConvPolicy&) { p.out[1] = 4; },
      [](ConvProblem& p, ConvPolicy&) { p.stride[2] = 2; },
      [](ConvProblem& p, ConvPolicy&) { p.padding[0] = 1; },
      [](ConvProblem& p, ConvPolicy&) { p.dilation[0] = 2; },
      [](ConvProblem& p, ConvPolicy&) { p.dtype = DType::float16; },
      [](ConvProblem& p, ConvPolicy&) { p.spatial_rank = 3; },
      [](ConvProblem&, ConvPolicy& policy) { policy.choice = Choice::direct; },
      [](ConvProblem&, ConvPolicy& policy) { policy.choice = Choice::fastest; },
      [](ConvProblem&, ConvPolicy& policy) { policy.workspace_limit = 0; },
      [](ConvProblem&, ConvPolicy& policy) { policy.allow_tf32 = true; },
      [](ConvProblem&, ConvPolicy& policy) { policy.layout = ConvLayout::channels_last; },
      [](ConvProblem&, ConvPolicy& policy) { policy.layout = ConvLayout::contiguous; },
      [](ConvProblem&, ConvPolicy& policy) { policy.engine = "eng7"; },
  };
  const auto decisions = std::make_shared<const CountingDecisions>();
  const auto plans = std::make_shared<LatestPlans>();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    ConvProblem problem = problem_of(2);
    ConvPolicy policy;
    plans->plan(*decisions, problem, ConvPass::forward, policy);
    decisions->asked();
    changes[i](problem, policy);
    const ConvPlan plan = plans->plan(*decisions, problem, ConvPass::forward, policy);
    CHECK(decisions->asked() == 1);
    CHECK(is_same(plan, decisions->conv(problem, ConvPass::forward, policy)));
  }
}

TEST_CASE("latest plans: other decisions are asked, also where the first ones are gone") {
  auto first = std::make_shared<const CountingDecisions>();
  const std::weak_ptr<const CountingDecisions> watched = first;
  auto plans = std::make_shared<LatestPlans>();
  plans->plan(*first, problem_of(2), ConvPass::forward, {});
  const auto second = std::make_shared<const CountingDecisions>();
  const ConvPlan plan = plans->plan(*second, problem_of(2), ConvPass::forward, {});
  CHECK(second->asked() == 1);
  CHECK(plan.built == second->conv(problem_of(2), ConvPass::forward, {}).built);
  first = nullptr;
  CHECK_FALSE(watched.expired());  // another thread could be reading its plans
  CHECK(plans->plan(*second, problem_of(2), ConvPass::forward, {}).built == plan.built);
  plans = nullptr;
  CHECK(watched.expired());
}

TEST_CASE("latest plans: decisions that remember nothing are asked each time") {
  const auto plans = std::make_shared<LatestPlans>();
  ConvProblem problem = problem_of(2);
  for (const Choice choice : {Choice::gemm, Choice::direct, Choice::gemm}) {
    const ConvPlan plan = plans->plan(*cpu_decisions(), problem, ConvPass::forward, {.choice = choice});
    CHECK(plan.workspace == (choice == Choice::gemm ? unfolded_bytes(problem) : 0));
  }
}

TEST_CASE("latest plans: threads that share them each get their own plan") {
  const auto decisions = std::make_shared<const CountingDecisions>();
  const auto plans = std::make_shared<LatestPlans>();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        ConvProblem problem = problem_of(2);
        problem.kernel[2] = 1 + (i / 50 + t) % 3;
        const ConvPlan plan = plans->plan(*decisions, problem, kPasses[i % 3], {.choice = Choice::gemm});
        if (plan.workspace != unfolded_bytes(problem)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(decisions->asked() < 4 * 2000);
}
