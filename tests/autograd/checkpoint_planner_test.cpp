// The planner against an exhaustive search by a second implementation, which follows every byte of a plan instead of
// adding up needs; and its expectations against what the allocator sees.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/autograd/checkpoint_planner.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/core/work.h>
#include <mnemo/memory/allocator.h>

using namespace mnemo;
using memory::Bytes;
using Parts = std::vector<PlanPart>;

namespace {

/// Runs a plan step by step with a set of things that are held, each with a name.
class Simulation {
 public:
  Simulation(const std::vector<StageCosts>& costs, const Parts& plan, bool gradients = true)
      : costs_(costs), with_gradients_(gradients) {
    // What lies on the stack before each stage: who made it, and which of its results.
    std::vector<Name> stack{{-1, 0}};
    stacks_.push_back(stack);
    for (std::size_t i = 0; i < costs.size(); ++i) {
      const std::vector<Name> taken(stack.end() - static_cast<std::ptrdiff_t>(costs[i].takes), stack.end());
      stack.resize(stack.size() - costs[i].takes);
      for (std::size_t k = 0; k < costs[i].outputs.size(); ++k) {
        const auto from = costs[i].outputs[k].taken;
        stack.push_back(from ? taken[*from] : Name{static_cast<int>(i), k});
      }
      stacks_.push_back(stack);
    }
    backward_through(plan, costs.size() - 1);
  }

  Bytes peak = 0;
  std::int64_t work = 0;

 private:
  using Name = std::pair<int, std::size_t>;

  Bytes size(const Name& name) const {
    return name.first < 0 ? 0 : costs_[static_cast<std::size_t>(name.first)].outputs[name.second].bytes;
  }
  Bytes total() const {
    Bytes sum = 0;
    for (const auto& [name, count] : tensors_) sum += count > 0 ? size(name) : 0;
    for (const auto& [stage, bytes] : saved_) sum += bytes;
    return sum + gradients_;
  }
  void see(Bytes extra) { peak = std::max(peak, total() + extra); }
  void hold(std::size_t boundary, int change) {
    for (const Name& name : stacks_[boundary]) tensors_[name] += change;
  }
  Bytes stack_bytes(std::size_t boundary) const {
    Bytes sum = 0;
    for (const Name& name : stacks_[boundary]) sum += size(name);
    return sum;
  }

  /// Forward through the parts and backward again, with the gradients of what stage `last` gives waiting.
  void backward_through(const Parts& parts, std::size_t last) {
    const Bytes waiting = with_gradients_ ? stack_bytes(last + 1) : 0;
    for (const PlanPart& part : parts) {
      hold(part.first, 1);  // until its backward is done
      for (std::size_t i = part.first; i < part.last; ++i) {
        if (i > part.first) hold(i, 1);
        see(waiting + (part.checkpointed ? costs_[i].forward : costs_[i].recording));
        if (i > part.first) hold(i, -1);
        // What ends a recomputation ends it early.
        work += i == last ? costs_[i].recompute_work : costs_[i].forward_work;
      }
      if (!part.checkpointed) {
        // Its outputs stay with what it saved.
        saved_[part.first] = costs_[part.first].saved;
        hold(part.last, 1);
      }
    }
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      if (part->checkpointed) {
        backward_through(part->inside, part->last - 1);
      } else {
        const StageCosts& costs = costs_[part->first];
        hold(part->last, -1);
        saved_.erase(part->first);
        Bytes own = 0;
        for (const StageOutput& output : costs.outputs) own += output.bytes;
        if (with_gradients_) {
          see(costs.backward + stack_bytes(part->last) - own);
          gradients_ += costs.gradients;
        }
      }
      hold(part->first, -1);
    }
  }

  const std::vector<StageCosts>& costs_;
  bool with_gradients_;
  std::vector<std::vector<Name>> stacks_;
  std::map<Name, int> tensors_;
  std::map<std::size_t, Bytes> saved_;
  Bytes gradients_ = 0;
};

/// Every plan of stages first to last in which the last one is recorded.
std::vector<Parts> all_plans(std::size_t first, std::size_t last) {
  std::vector<Parts> plans;
  if (first == last) return {{{first, first + 1}}};
  for (const Parts& rest : all_plans(first + 1, last)) {
    Parts plan{{first, first + 1}};
    plan.insert(plan.end(), rest.begin(), rest.end());
    plans.push_back(plan);
  }
  for (std::size_t split = first + 1; split <= last; ++split) {
    const std::vector<Parts> rests = all_plans(split, last);
    for (const Parts& inside : all_plans(first, split - 1)) {
      for (const Parts& rest : rests) {
        Parts plan{{first, split, true, inside}};
        plan.insert(plan.end(), rest.begin(), rest.end());
        plans.push_back(plan);
      }
    }
  }
  return plans;
}

std::vector<StageCosts> random_chain(std::mt19937& random, std::size_t stages, bool skips) {
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  std::vector<StageCosts> chain;
  std::size_t depth = 1;
  std::vector<Bytes> sizes{0};
  for (std::size_t i = 0; i < stages; ++i) {
    StageCosts costs{.takes = 1, .outputs = {}};
    if (skips && depth > 1 && draw(0, 1)) costs.takes = 2;
    const int gives = skips && i + 1 < stages && draw(0, 2) == 0 ? 2 : 1;
    Bytes given = 0;
    for (int k = 0; k < gives; ++k) costs.outputs.push_back({draw(1, 6)}), given += costs.outputs.back().bytes;
    // The one below is what it took: a skip that begins here.
    if (gives == 2 && i > 0 && draw(0, 1) && sizes.back() > 0) {
      given += sizes.back() - costs.outputs[0].bytes;
      costs.outputs[0] = {sizes.back(), costs.takes - 1};
    }
    sizes.resize(sizes.size() - costs.takes);
    for (const StageOutput& output : costs.outputs) sizes.push_back(output.bytes);
    depth = depth - costs.takes + static_cast<std::size_t>(gives);
    costs.saved = draw(0, 6);
    costs.forward = given + draw(0, 3);
    costs.recording = given + costs.saved + draw(0, 3);
    costs.gradients = draw(0, 3);
    costs.backward = costs.saved + 2 * given + costs.gradients + draw(0, 4);
    costs.forward_work = draw(1, 20);
    costs.recompute_work = draw(0, static_cast<int>(costs.forward_work));
    costs.backward_work = 2 * costs.forward_work;
    chain.push_back(costs);
  }
  return chain;
}

std::vector<StageCosts> equal_chain(std::size_t stages) {
  return std::vector<StageCosts>(stages, StageCosts{.takes = 1,
                                                    .outputs = {{1}},
                                                    .saved = 0,
                                                    .forward = 1,
                                                    .recording = 1,
                                                    .backward = 2,
                                                    .gradients = 0,
                                                    .forward_work = 1,
                                                    .recompute_work = 1,
                                                    .backward_work = 2});
}

}  // namespace

TEST_CASE("for every budget the planner finds what a search through all plans finds") {
  std::mt19937 random(5);
  int chains = 0, feasible = 0;
  for (const bool skips : {false, true}) {
    for (std::size_t stages = 1; stages <= 6; ++stages) {
      const std::vector<Parts> plans = all_plans(0, stages - 1);
      for (int repeat = 0; repeat < (stages == 6 ? 4 : 20); ++repeat) {
        const std::vector<StageCosts> chain = random_chain(random, stages, skips);
        std::vector<Simulation> runs;
        const bool gradients = repeat % 3 != 0;
        for (const Parts& plan : plans) runs.emplace_back(chain, plan, gradients);
        Bytes plain = 0;
        for (const Simulation& run : runs) plain = std::max(plain, run.peak);
        const std::int64_t once = Simulation(chain, no_checkpoints(stages).parts).work;
        const CheckpointPlanner planner(
            chain, 1 << 20,  // a step is one byte
            gradients ? CheckpointPlanner::Counts::everything : CheckpointPlanner::Counts::activations);
        for (Bytes budget = 0; budget <= plain + 1; ++budget) {
          std::int64_t least = INT64_MAX;
          for (const Simulation& run : runs) {
            if (run.peak <= budget) least = std::min(least, run.work - once);
          }
          const auto found = planner.within(budget);
          REQUIRE(found.has_value() == (least != INT64_MAX));
          if (!found) continue;
          ++feasible;
          REQUIRE(found->extra_work == least);
          const Simulation run(chain, found->plan.parts, gradients);
          REQUIRE(run.peak <= budget);
          REQUIRE(run.peak == found->peak);
          REQUIRE(run.work - once == least);
        }
        ++chains;
      }
    }
  }
  CHECK(chains == 2 * (5 * 20 + 4));
  CHECK(feasible > 1000);
}

TEST_CASE("coarse steps stay within the budget, and lose little") {
  std::mt19937 random(6);
  for (int repeat = 0; repeat < 10; ++repeat) {
    std::vector<StageCosts> chain = random_chain(random, 12, repeat % 2 == 0);
    for (StageCosts& costs : chain) {
      for (StageOutput& output : costs.outputs) output.bytes *= 100'003;
      for (Bytes* bytes : {&costs.saved, &costs.forward, &costs.recording, &costs.backward, &costs.gradients})
        *bytes *= 100'003;
    }
    const CheckpointPlanner coarse(chain, 500), fine(chain, 20'000);
    const Bytes plain = coarse.expect(no_checkpoints(12)).peak;
    for (int percent = 30; percent <= 100; percent += 10) {
      const Bytes budget = plain / 100 * percent;
      const auto rough = coarse.within(budget), sharp = fine.within(budget + budget / 20);
      if (!rough) continue;
      CHECK(rough->peak <= budget);
      CHECK(Simulation(chain, rough->plan.parts).peak == rough->peak);
      REQUIRE(sharp.has_value());
      CHECK(sharp->extra_work <= rough->extra_work);
    }
  }
}

TEST_CASE("never worse than equal segments at the same budget, and better than sqrt(n) on unequal chains") {
  std::mt19937 random(7);
  bool better = false;
  for (int repeat = 0; repeat < 12; ++repeat) {
    const std::size_t n = 16;
    const std::vector<StageCosts> chain = repeat == 0 ? equal_chain(n) : random_chain(random, n, repeat % 2 == 0);
    const CheckpointPlanner planner(chain, 1 << 20);
    for (std::size_t segments = 1; segments <= n; ++segments) {
      const PlannedCheckpoints even = planner.expect(even_segments(n, segments));
      CHECK(even.peak == Simulation(chain, even.plan.parts).peak);
      const auto planned = planner.within(even.peak);
      REQUIRE(planned.has_value());
      CHECK(planned->peak <= even.peak);
      CHECK(planned->extra_work <= even.extra_work);
      better = better || (segments == 4 && planned->extra_work < even.extra_work);
    }
  }
  CHECK(better);
}

TEST_CASE("the frontier falls in operations while memory rises, from the least possible to no checkpoints") {
  const std::vector<StageCosts> chain = equal_chain(12);
  const CheckpointPlanner planner(chain, 1 << 20);
  const std::vector<PlannedCheckpoints> frontier = planner.frontier();
  REQUIRE(frontier.size() > 3);
  for (std::size_t i = 1; i < frontier.size(); ++i) {
    CHECK(frontier[i].peak > frontier[i - 1].peak);
    CHECK(frontier[i].extra_work < frontier[i - 1].extra_work);
  }
  CHECK(frontier.back().plan == no_checkpoints(12));
  CHECK(frontier.back().extra_work == 0);
  CHECK_FALSE(planner.within(frontier.front().peak - 1).has_value());
  CHECK(planner.work() == 12 * 3);
}

TEST_CASE("plans are written with brackets, and run as they are written") {
  const CheckpointPlan plan{{{0, 1}, {1, 4, true, {{1, 3, true, {{1, 2}, {2, 3}}}, {3, 4}}}, {4, 5}}};
  CHECK(plan.text() == "0 ((1 2) 3) 4");
  CHECK(even_segments(5, 2).text() == "(0 1 2) 3 4");
  CHECK(even_segments(5, 1) == no_checkpoints(5));
  CHECK_THROWS_AS(even_segments(5, 6), Error);
  std::vector<int> order;
  std::vector<Stage> stages;
  for (int i = 0; i < 5; ++i) {
    stages.push_back(make_stage("exp", [i, &order](const Tensor& x) {
      order.push_back(i);
      return exp(x * 0.5);
    }));
  }
  const Tensor x = full({3}, 0.1, {.requires_grad = true});
  sum(run_chain(plan, stages, x)).backward();
  // Again: the outer part up to stage 3, then the inner one.
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 1, 2, 3, 1, 2});
  const Tensor plain = full({3}, 0.1, {.requires_grad = true});
  sum(run_chain(no_checkpoints(5), stages, plain)).backward();
  CHECK(x.grad().values<float>() == plain.grad().values<float>());
  CHECK_THROWS_AS(run_chain(no_checkpoints(4), stages, x), Error);
}

namespace {

/// Layers of different widths, one that needs scratch memory, and a skip around two of them.
std::vector<Stage> wide_chain(const Device& device, std::vector<Tensor>& weights) {
  std::vector<Stage> stages;
  const std::int64_t widths[] = {256, 1024, 512, 2048, 512, 512, 1024, 128};
  std::int64_t in = 256;
  for (const std::int64_t width : widths) {
    weights.push_back(zeros({width, in}, {.device = device, .requires_grad = true}));
    const Tensor w = weights.back();
    stages.push_back(make_stage("layer", [w](const Tensor& x) { return gelu(linear(x, w)); }));
    in = width;
  }
  // After stage 3 the value is handed on twice; stage 6 adds what it takes.
  const auto fork = stages[3].run;
  stages[3].gives = 2;
  stages[3].run = [fork](std::span<const Tensor> x) {
    const Tensor y = fork(x)[0];
    return std::vector<Tensor>{slice(y, 1, 0, 512) * 1.0, y};
  };
  const auto join = stages[6].run;
  stages[6].takes = 2;
  stages[6].run = [join](std::span<const Tensor> x) {
    const Tensor y = x[0] + x[1];
    return join(std::span(&y, 1));
  };
  return stages;
}

}  // namespace

TEST_CASE("operations are as expected to the last one, and bytes nearly, for every plan of the frontier") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  std::vector<Tensor> weights;
  const std::vector<Stage> stages = wide_chain(device, weights);
  const Tensor x = zeros({2048, 256});
  const std::vector<StageCosts> costs = measure_stages(stages, x);
  for (const Tensor& weight : weights) CHECK_FALSE(weight.grad().defined());
  REQUIRE(costs.size() == stages.size());
  constexpr Bytes kRow = 2048 * 4;
  REQUIRE(costs[1].outputs.size() == 1);
  CHECK(costs[1].outputs[0].bytes == 1024 * kRow);
  CHECK(costs[1].saved == 1024 * kRow);  // gelu's input
  CHECK(costs[1].gradients == 256 * 1024 * 4);
  CHECK(costs[1].forward == 2 * 1024 * kRow);
  REQUIRE(costs[3].outputs.size() == 2);
  CHECK(costs[3].outputs[0].bytes == 512 * kRow);
  CHECK(costs[3].outputs[1].bytes == 2048 * kRow);
  const CheckpointPlanner planner(costs);
  const auto frontier = planner.frontier();
  REQUIRE(frontier.size() > 2);
  const Bytes before = device.allocator().allocated();
  std::int64_t plain_work = 0;
  for (auto planned = frontier.rbegin(); planned != frontier.rend(); ++planned) {
    device.allocator().reset_peak();
    const std::int64_t start = operations_done();
    {
      Tensor y = run_chain(planned->plan, stages, x);
      y.backward(zeros(y.shape()));
    }
    const std::int64_t work = operations_done() - start;
    const Bytes peak = device.allocator().peak().allocated - before;
    for (Tensor& weight : weights) weight.zero_grad();
    if (planned == frontier.rbegin()) plain_work = work;
    CAPTURE(planned->plan.text());
    CHECK(work - plain_work == planned->extra_work);
    CHECK(static_cast<double>(peak) <= 1.02 * static_cast<double>(planned->peak));
    CHECK(static_cast<double>(peak) >= 0.7 * static_cast<double>(planned->peak));
  }
}
