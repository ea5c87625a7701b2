// What a virtual card's decisions cost: known keys, new keys of the table and of the library, and whole steps.
// Without MNEMO_CACHE_DIR= the disk's table answers what an earlier run asked.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include <mnemo/mnemo.h>

namespace {

using namespace mnemo;

/// A 3x3 convolution of 64 channels over `size` squared.
ConvProblem problem(std::int64_t batch, std::int64_t size) {
  return {.batch = batch,
          .in_channels = 64,
          .out_channels = 64,
          .in = {1, size, size},
          .kernel = {1, 3, 3},
          .out = {1, size, size},
          .padding = {0, 1, 1}};
}

void known_key(benchmark::State& state) {
  const auto decisions = card_decisions(*find_card("h200"));
  const ConvProblem known = problem(8, 56);
  const ConvPolicy policy;
  for (auto _ : state) benchmark::DoNotOptimize(decisions->conv(known, ConvPass::forward, policy));
}
BENCHMARK(known_key);

/// The same where a layer asks what it asked last time.
void known_to_the_layer(benchmark::State& state) {
  const auto decisions = card_decisions(*find_card("h200"));
  const auto plans = std::make_shared<LatestPlans>();
  const ConvProblem known = problem(8, 56);
  const ConvPolicy policy;
  for (auto _ : state) benchmark::DoNotOptimize(plans->plan(*decisions, known, ConvPass::forward, policy));
}
BENCHMARK(known_to_the_layer);

/// A ranking with its first plan that can be finalized, for a shape that was never asked.
void new_key_of_the_library(benchmark::State& state) {
  std::string reason;
  const auto library = open_conv_planner("h200", reason);
  if (!library) return state.SkipWithError(reason.c_str());
  std::int64_t size = 30;
  for (auto _ : state) {
    RankedPlans plans = library->rank({problem(3, ++size), ConvPass::forward, ConvLayout::contiguous});
    benchmark::DoNotOptimize(choose({.choice = ConvPolicy::Choice::heuristic}, DType::float32, plans));
  }
}
BENCHMARK(new_key_of_the_library)->Iterations(200)->Unit(benchmark::kMillisecond);

/// The same through the book, which also keeps what any other policy would take.
void new_key(benchmark::State& state) {
  const auto decisions = card_decisions(*find_card("h200"));
  decisions->conv(problem(1, 8), ConvPass::forward, {});  // opens the book
  std::int64_t size = 30;
  for (auto _ : state) benchmark::DoNotOptimize(decisions->conv(problem(5, ++size), ConvPass::forward, {}));
}
BENCHMARK(new_key)->Iterations(200)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
