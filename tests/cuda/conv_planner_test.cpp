// The real library's rankings, against numbers that were noted down before this code was written, and against what
// users measured on hardware. They belong to one version of cuDNN.
#include "queries.h"

#include <cmath>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/plan_choice.h>

using namespace queries;

namespace {

constexpr auto f32 = DType::float32;
constexpr auto f16 = DType::float16;
constexpr auto bf16 = DType::bfloat16;
constexpr auto contiguous = ConvLayout::contiguous;
constexpr auto channels_last = ConvLayout::channels_last;

/// The first plan that can be finalized, nothing filtered.
PlanChoice first(ConvPlanner& planner, const ConvProblem& problem, ConvPass pass, ConvLayout layout) {
  RankedPlans plans = planner.rank({problem, pass, layout});
  return choose({.choice = ConvPolicy::Choice::heuristic, .allow_tf32 = true}, problem.dtype, plans);
}

memory::Bytes workspace(ConvPlanner& planner, const ConvProblem& problem, ConvPass pass, ConvLayout layout) {
  const PlanChoice choice = first(planner, problem, pass, layout);
  CAPTURE(describe(ConvQuery{problem, pass, layout}));
  CHECK_MESSAGE(choice.plan.has_value(), choice.reason);
  CHECK_FALSE(choice.estimated);
  return choice.plan ? choice.plan->workspace : -1;
}

}  // namespace

TEST_CASE("conv planner: workspaces of an H200") {
  const auto planner = known_planner_of("h200");
  if (!planner) return;
  struct Row {
    ConvProblem problem;
    ConvLayout layout;
    memory::Bytes forward, data_gradient, weight_gradient;
  };
  const Row rows[] = {
      {cube(f32, 2, 64, 3, 32, 28, 3), contiguous, 0, 0, 0},
      {cube(bf16, 2, 64, 3, 32, 28, 3), channels_last, 0, 807571, 1823659},
      {cube(f32, 2, 64, 32, 64, 13, 3), contiguous, 0, 3440656, 4030608},
      {cube(f32, 2, 8, 32, 64, 13, 3), contiguous, 0, 0, 1084560},
      {cube(f32, 3, 1, 16, 32, 16, 3, 2), contiguous, 317456, 1391815, 1562855},
      {cube(f32, 3, 1, 16, 32, 32, 3, 2), contiguous, 7183507, 7183507, 9592599},
      {cube(f32, 3, 1, 16, 32, 16, 7), contiguous, 964624, 1092755, 7428679},
      {cube(f32, 1, 16, 128, 64, 1024, 3), contiguous, 12673171, 12673171, 12968183},
  };
  for (const Row& row : rows) {
    CAPTURE(describe(ConvQuery{row.problem, ConvPass::forward, row.layout}));
    CHECK(workspace(*planner, row.problem, ConvPass::forward, row.layout) == row.forward);
    CHECK(workspace(*planner, row.problem, ConvPass::data_gradient, row.layout) == row.data_gradient);
    CHECK(workspace(*planner, row.problem, ConvPass::weight_gradient, row.layout) == row.weight_gradient);
  }
}

TEST_CASE("conv planner: the kernel that was decided on exists with bias and relu too, in the same workspace") {
  const auto planner = known_planner_of("h200");
  if (!planner) return;
  struct Row {
    ConvProblem problem;
    ConvLayout layout;
  };
  const Row rows[] = {
      {cube(f32, 2, 64, 3, 32, 28, 3), contiguous},            // simple-conv
      {cube(f32, 2, 64, 32, 64, 13, 3), contiguous},           //
      {cube(f32, 2, 32, 64, 64, 224, 3, 1), contiguous},       // vgg16
      {cube(f32, 2, 32, 512, 512, 14, 3, 1), contiguous},      //
      {cube(bf16, 2, 32, 64, 64, 224, 3, 1), channels_last},   //
      {cube(bf16, 2, 32, 512, 512, 14, 3, 1), channels_last},  //
      {cube(bf16, 3, 2, 16, 32, 32, 3, 1), channels_last},
  };
  for (const Row& row : rows) {
    const ConvQuery query{row.problem, ConvPass::forward, row.layout};
    CAPTURE(describe(query));
    RankedPlans plans = planner->rank(query);
    const PlanChoice decided = choose({}, row.problem.dtype, plans);
    REQUIRE(decided.plan);
    for (const ConvEpilogue& epilogue : {ConvEpilogue{.bias = true}, ConvEpilogue{.bias = true, .relu = true}}) {
      CAPTURE(epilogue.bias);
      CAPTURE(epilogue.relu);
      const EnginePlan fused = planner->fused(query, epilogue, decided.plan->engine);
      CHECK_MESSAGE(fused.state == EnginePlan::State::ready, fused.reason);
      CHECK(fused.notes == decided.plan->notes);
      CHECK(fused.workspace <= (decided.plan->workspace + 511) / 512 * 512);
      const auto knobs = [](const std::string& engine) { return engine.substr(engine.find('_')); };
      CHECK(knobs(fused.engine) == knobs(decided.plan->engine));
    }
  }
  // Its engine knows no bias, and none that does has its knobs.
  const ConvQuery line{cube(f16, 1, 16, 128, 64, 1024, 3), ConvPass::forward, channels_last};
  RankedPlans plans = planner->rank(line);
  const PlanChoice decided = choose({}, f16, plans);
  REQUIRE(decided.plan);
  CHECK(planner->fused(line, {.bias = true}, decided.plan->engine).state == EnginePlan::State::refused);
  const EnginePlan none = planner->fused({rows[0].problem, ConvPass::forward, contiguous}, {.bias = true}, "eng9999");
  CHECK(none.state == EnginePlan::State::refused);
  CHECK_FALSE(none.reason.empty());
}

TEST_CASE("conv planner: a ranking in order, built as it is looked at") {
  const auto planner = known_planner_of("h200");
  if (!planner) return;
  RankedPlans plans = planner->rank({cube(f16, 2, 16, 128, 256, 64, 3, 1), ConvPass::forward, channels_last});
  REQUIRE(plans.size() == 40);
  CHECK(plans.built() == 0);
  const memory::Bytes expected[] = {131, 131, 2097347, 131};
  for (std::size_t rank = 0; rank < std::size(expected); ++rank) {
    CAPTURE(rank);
    CHECK(plans[rank].state == EnginePlan::State::ready);
    CHECK(plans[rank].workspace == expected[rank]);
    CHECK(plans[rank].engine.starts_with("eng"));
    CHECK(plans[rank].notes.has(NumericalNote::tensor_core));
  }
  CHECK(plans.built() == 4);
}

TEST_CASE("conv planner: lower resolution needs more") {
  struct Row {
    std::string card;
    ConvProblem problem;
    ConvPass pass;
    ConvLayout layout;
    double unit;         ///< the last digit that was noted, in bytes
    std::int64_t noted;  ///< the workspace in units
  };
  constexpr double MB = 1e6, kB = 1e3;
  constexpr auto forward = ConvPass::forward;
  constexpr auto weight = ConvPass::weight_gradient;
  const Row rows[] = {
      {"h200", cube(bf16, 3, 16, 16, 32, 32, 7, 3), weight, channels_last, 0.1 * MB, 416},
      {"h200", cube(bf16, 3, 16, 16, 32, 56, 7, 3), weight, channels_last, 0.1 * MB, 7},
      {"h200", cube(f16, 3, 4, 16, 32, 28, 3, 1), weight, channels_last, 0.1 * MB, 38},
      {"h200", cube(f16, 3, 4, 16, 32, 32, 3, 1), weight, channels_last, 0.1 * MB, 38},
      {"h200", cube(f16, 3, 4, 16, 32, 56, 3, 1), weight, channels_last, kB, 66},
      {"h200", cube(f16, 3, 4, 16, 32, 64, 3, 1), weight, channels_last, kB, 66},
      {"h200", cube(f32, 2, 1, 256, 256, 56, 7, 3), weight, channels_last, MB, 263},
      {"h200", cube(f32, 2, 1, 256, 256, 80, 7, 3), weight, channels_last, MB, 26},
      {"rtx4090", cube(f32, 2, 16, 256, 256, 200, 3, 1), forward, channels_last, MB, 1313},
      {"rtx4090", cube(f32, 2, 16, 256, 256, 224, 3, 1), forward, channels_last, MB, 824},
      {"rtx4090", cube(f32, 3, 16, 128, 128, 16, 7, 3), weight, channels_last, MB, 607},
      {"rtx4090", cube(f32, 3, 16, 128, 128, 24, 7, 3), weight, channels_last, MB, 249},
      {"a100-40gb", cube(bf16, 3, 4, 32, 64, 32, 7, 3), weight, channels_last, MB, 209},
      {"a100-40gb", cube(bf16, 3, 4, 32, 64, 48, 7, 3), weight, channels_last, MB, 82},
      {"b200", cube(f32, 3, 16, 1, 16, 48, 7, 3), forward, contiguous, MB, 120},
      {"b200", cube(f32, 3, 16, 1, 16, 56, 7, 3), forward, contiguous, 1, 0},
      {"t4", cube(f32, 2, 16, 32, 64, 128, 3, 1), forward, channels_last, MB, 101},
      {"t4", cube(f32, 2, 16, 32, 64, 152, 3, 1), forward, channels_last, 0.01 * MB, 14},
      {"h200", cube(f32, 3, 4, 16, 32, 20, 3, 1), forward, contiguous, 0.1 * MB, 21},
      {"h200", cube(f32, 3, 4, 16, 32, 24, 3, 1), forward, contiguous, 0.1 * MB, 107},
      {"rtx4090", cube(f32, 3, 4, 16, 32, 48, 3, 1), forward, contiguous, MB, 28},
      {"rtx4090", cube(f32, 3, 4, 16, 32, 56, 3, 1), forward, contiguous, MB, 135},
      {"h200", cube(f32, 2, 1, 256, 256, 40, 7, 3), weight, contiguous, MB, 106},
      {"h200", cube(f32, 2, 1, 256, 256, 48, 7, 3), weight, contiguous, MB, 249},
      {"h200", cube(f32, 2, 1, 256, 256, 56, 7, 3), weight, contiguous, MB, 238},
      {"h200", cube(f32, 2, 1, 256, 256, 64, 7, 3), weight, contiguous, MB, 47},
      {"h200", cube(f32, 2, 1, 256, 256, 80, 7, 3), weight, contiguous, MB, 52},
      {"h200", cube(f32, 2, 1, 256, 256, 112, 7, 3), weight, contiguous, MB, 64},
  };
  for (const Row& row : rows) {
    const auto planner = known_planner_of(row.card);
    if (!planner) return;
    CAPTURE(row.card);
    CAPTURE(describe(ConvQuery{row.problem, row.pass, row.layout}));
    const memory::Bytes bytes = workspace(*planner, row.problem, row.pass, row.layout);
    CAPTURE(bytes);
    CHECK(std::llround(static_cast<double>(bytes) / row.unit) == row.noted);
  }
}

TEST_CASE("conv planner: what users measured on an A100, to the byte") {
  for (const std::string card : {"a100-40gb", "a100-80gb"}) {
    CAPTURE(card);
    const auto planner = known_planner_of(card);
    if (!planner) return;
    // pytorch/pytorch#95024
    const ConvProblem half = problem(f16, 1, 64, 32, {361, 370, 251}, {3, 3, 3}, 1);
    CHECK(workspace(*planner, half, ConvPass::forward, contiguous) == 6'437'116'048);
    // pytorch/pytorch#128947
    const ConvProblem full = problem(f32, 1, 256, 64, {4, 1090, 1922}, {3, 3, 3});
    CHECK(workspace(*planner, full, ConvPass::forward, contiguous) == 8'582'807'568);
  }
}

TEST_CASE("conv planner: one slice more and there is no plan") {
  const auto planner = planner_of("a100-80gb");
  if (!planner) return;
  const ConvProblem half = problem(f16, 1, 64, 32, {362, 370, 251}, {3, 3, 3}, 1);
  const ConvProblem full = problem(f32, 1, 256, 64, {5, 1090, 1922}, {3, 3, 3});
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    CHECK(first(*planner, half, pass, contiguous).reason ==
          "the input (1, 64, 362, 370, 251) has 2^31 elements or more");
    CHECK(first(*planner, full, pass, contiguous).reason ==
          "the input (1, 256, 5, 1090, 1922) has 2^31 elements or more");
  }
}

TEST_CASE("conv planner: float32 stays off the tensor cores unless TF32 is allowed") {
  const auto planner = planner_of("h200");
  if (!planner) return;
  const ConvQuery query{cube(f32, 2, 64, 32, 64, 13, 3), ConvPass::weight_gradient, contiguous};
  RankedPlans plans = planner->rank(query);
  ConvPolicy policy{.choice = ConvPolicy::Choice::heuristic};
  const PlanChoice exact = choose(policy, f32, plans);
  policy.allow_tf32 = true;
  const PlanChoice rounded = choose(policy, f32, plans);
  REQUIRE_MESSAGE(exact.plan, exact.reason);
  REQUIRE_MESSAGE(rounded.plan, rounded.reason);
  CHECK_FALSE(exact.plan->notes.has(NumericalNote::tensor_core));
  CHECK(rounded.plan->notes.has(NumericalNote::tensor_core));
  CHECK(rounded.plan->rank < exact.plan->rank);
}

TEST_CASE("conv planner: every rank, dtype, layout and pass, also strided, dilated, grouped and padded on one side") {
  const auto planner = planner_of("h200");
  if (!planner) return;
  for (int rank = 1; rank <= 3; ++rank) {
    for (const DType dtype : {f32, f16, bf16}) {
      for (const ConvLayout layout : {contiguous, channels_last}) {
        for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
          ConvProblem problem = cube(dtype, rank, 2, 16, 32, 17, 3, 1);
          CHECK(workspace(*planner, problem, pass, layout) >= 0);
          problem.groups = 4;
          CHECK(workspace(*planner, problem, pass, layout) >= 0);
          for (std::size_t d = 3 - static_cast<std::size_t>(rank); d < 3; ++d) {
            problem.stride[d] = 2;
            problem.dilation[d] = 2;
            problem.out[d] = 8;
          }
          problem.groups = 1;
          CHECK(workspace(*planner, problem, pass, layout) >= 0);
          problem = cube(dtype, rank, 2, 16, 32, 17, 4, 1);
          problem.out[2] = 17;  // "same": one zero before, two behind
          CHECK(workspace(*planner, problem, pass, layout) >= 0);
        }
      }
    }
  }
}

TEST_CASE("conv planner: what cannot be asked is said") {
  const auto planner = planner_of("h200");
  if (!planner) return;
  CHECK(first(*planner, cube(f32, 2, 0, 16, 32, 16, 3), ConvPass::forward, contiguous).reason == "an operand is empty");
  CHECK_THROWS_WITH_AS(planner->rank({cube(DType::int32, 2, 1, 16, 32, 16, 3), ConvPass::forward, contiguous}),
                       "[conv] a convolution of int32 is not supported; cast to a floating dtype", DTypeError);
  // Either the library has plans for it, or it says why not; it is no error.
  ConvProblem odd = cube(f16, 3, 2, 15, 35, 9, 3, 1);
  odd.groups = 5;
  for (const DType dtype : {f16, DType::float64}) {
    odd.dtype = dtype;
    for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
      const PlanChoice choice = first(*planner, odd, pass, channels_last);
      CHECK(choice.plan.has_value() == choice.reason.empty());
      if (!choice.plan) MESSAGE(describe(ConvQuery{odd, pass, channels_last}), ": ", choice.reason);
    }
  }
}

TEST_CASE("conv planner: where heuristics know no engine, those of the library's list for such cases") {
  const auto planner = known_planner_of("h200");
  if (!planner) return;
  ConvProblem p = problem(f16, 7, 24, 256, {31, 31}, {3, 7});
  p.groups = 8;
  p.stride = {1, 5, 5};
  p.dilation = {1, 2, 2};
  p.out = {1, (31 - 5) / 5 + 1, (31 - 13) / 5 + 1};
  CHECK(workspace(*planner, p, ConvPass::data_gradient, contiguous) >= 0);
}

TEST_CASE("conv planner: a piece that begins behind its input is refused, not an error") {
  const auto planner = planner_of("h200");
  if (!planner) return;
  ConvProblem piece = problem(f16, 1, 3, 8, {56, 5}, {1, 1});
  piece.padding = {0, -3, 0};
  piece.out[1] = 50;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient})
    CHECK(first(*planner, piece, pass, contiguous).reason.find("negative padding") != std::string::npos);
}

TEST_CASE("conv planner: cards that the library does not support have none") {
  CardProperties card = *find_card_properties("h200");
  card.name = "v100-32gb";
  std::string reason;
  for (const int capability : {70, 30, 990}) {
    card.capability = capability;
    CHECK(open_conv_planner(card, reason) == nullptr);
    CAPTURE(reason);
    CHECK_FALSE(reason.empty());
    if (planner_of("h200")) {
      CHECK(reason.find("and v100-32gb has " + capability_text(capability)) != std::string::npos);
      CHECK(reason.find("compute capability 7.5 to") != std::string::npos);
    }
  }
}

TEST_CASE("conv planner: properties that the library does not take are an error with its words") {
  if (!planner_of("h200")) return;
  CardProperties card = *find_card_properties("h200");
  std::string reason;
  for (const char* json : {"{", "{}", "[1]", "{\"deviceName\": \"NVIDIA H200\"}"}) {
    CAPTURE(json);
    card.json = json;
    bool thrown = false;
    try {
      open_conv_planner(card, reason);
    } catch (const CudaError& error) {
      thrown = true;
      const std::string text = error.what();
      CAPTURE(text);
      CHECK(text.find("[cudnn] the properties of the card \"h200\": CUDNN_STATUS_BAD_PARAM") == 0);
    }
    CHECK(thrown);
  }
}

TEST_CASE("conv planner: every built-in card is taken and has plans") {
  for (const CardProperties& card : card_properties()) {
    CAPTURE(card.name);
    const auto planner = planner_of(card.name);
    if (!planner) return;
    CHECK(workspace(*planner, cube(f16, 2, 16, 64, 64, 56, 3, 1), ConvPass::forward, channels_last) >= 0);
  }
}

TEST_CASE("conv planner: an engine is built from its name alone as it was ranked: this is how a GPU runs it") {
  const auto planner = known_planner_of("h200");
  if (!planner) return;
  const ConvQuery queries[] = {
      {cube(f32, 2, 8, 32, 64, 13, 3), ConvPass::forward, contiguous},
      {cube(bf16, 2, 64, 3, 32, 28, 3), ConvPass::weight_gradient, channels_last},
      {cube(f16, 3, 2, 16, 32, 16, 3, 1), ConvPass::data_gradient, channels_last},
      {cube(DType::float64, 2, 2, 4, 8, 9, 3), ConvPass::forward, contiguous},
  };
  for (const ConvQuery& query : queries) {
    CAPTURE(describe(query));
    RankedPlans plans = planner->rank(query);
    CHECK(plans.size() > 0);
    for (std::size_t i = 0; i < plans.size(); ++i) {
      if (plans[i].state != EnginePlan::State::ready) continue;
      CAPTURE(plans[i].engine);
      const EnginePlan again = planner->plan(query, plans[i].engine);
      CHECK_MESSAGE(again.state == EnginePlan::State::ready, again.reason);
      CHECK(again.workspace == plans[i].workspace);
    }
  }
  for (const char* name : {"", "eng", "eng99999", "28", "eng28_", "eng28_k2", "eng28_k2=", "eng28_k2=1x"}) {
    CAPTURE(std::string(name));
    const EnginePlan none = planner->plan(queries[0], name);
    CHECK(none.state == EnginePlan::State::refused);
    CHECK_FALSE(none.reason.empty());
  }
}
