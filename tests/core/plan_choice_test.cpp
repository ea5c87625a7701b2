#include <doctest/doctest.h>

#include <mnemo/core/planning/plan_choice.h>
#include <mnemo/memory/error.h>

using namespace mnemo;

namespace {

using State = EnginePlan::State;

PlanNotes notes(std::initializer_list<NumericalNote> numerical) {
  PlanNotes notes;
  for (const NumericalNote note : numerical) notes.numerical |= 1u << static_cast<unsigned>(note);
  return notes;
}

const PlanNotes exact = notes({});
const PlanNotes tensor_core = notes({NumericalNote::tensor_core});
const PlanNotes unsteady = notes({NumericalNote::reduced_precision_reduction, NumericalNote::nondeterministic});

const std::vector<EnginePlan> ranking = {
    {0, "eng1_k2=0", 900, unsteady, State::refused, "NOT_SUPPORTED"},
    {1, "eng1_k2=1", 800, unsteady, State::ready, ""},
    {2, "eng10_k2=1", 700, tensor_core, State::ready, ""},
    {3, "eng2", 600, exact, State::ready, ""},
    {4, "eng3_k5=7", 0, unsteady, State::ready, ""},
    {5, "eng3_k5=8", 0, exact, State::ready, ""},
};

PlanChoice taken(const char* policy, DType dtype = DType::float16, bool allow_tf32 = false,
                 const std::vector<EnginePlan>& plans = ranking) {
  ConvPolicy parsed = parse_conv_policy(policy);
  parsed.allow_tf32 = allow_tf32;
  RankedPlans ranked(plans);
  const PlanChoice choice = choose(parsed, dtype, ranked);
  CHECK(choice.plan.has_value() == choice.reason.empty());
  if (choice.plan) CHECK(*choice.plan == plans[static_cast<std::size_t>(choice.plan->rank)]);
  return choice;
}

std::string engine(const char* policy, DType dtype = DType::float16, bool allow_tf32 = false) {
  const PlanChoice choice = taken(policy, dtype, allow_tf32);
  return choice.plan ? choice.plan->engine : "none";
}

}  // namespace

TEST_CASE("plan choice: the first engine that fits") {
  CHECK(engine("heuristic") == "eng1_k2=1");
  CHECK(engine("workspace<=800") == "eng1_k2=1");
  CHECK(engine("workspace<=799") == "eng10_k2=1");
  CHECK(engine("workspace<=699") == "eng2");
  CHECK(engine("workspace<=1") == "eng3_k5=7");
  CHECK(engine("workspace<=0") == "eng3_k5=7");
  CHECK(engine("zero-workspace") == "eng3_k5=7");
  CHECK(engine("deterministic") == "eng10_k2=1");
}

TEST_CASE("plan choice: a fixed engine, by number or with its knobs") {
  CHECK(engine("eng1") == "eng1_k2=1");
  CHECK(engine("eng10") == "eng10_k2=1");
  CHECK(engine("eng3") == "eng3_k5=7");
  CHECK(engine("eng3_k5=8") == "eng3_k5=8");
  CHECK(taken("eng4").reason == "no ranked engine fits the policy eng4");
  CHECK(taken("eng1_k2=0").reason == "no ranked engine fits the policy eng1_k2=0");
}

TEST_CASE("plan choice: TF32 concerns float32 alone") {
  CHECK(engine("deterministic", DType::float32) == "eng2");
  CHECK(engine("deterministic", DType::float32, true) == "eng10_k2=1");
  CHECK(engine("deterministic", DType::bfloat16) == "eng10_k2=1");
  CHECK(engine("eng10", DType::float32) == "none");
  CHECK(taken("eng10", DType::float32).reason == "no ranked engine fits the policy eng10 without TF32");
}

TEST_CASE("plan choice: nothing behind the taken plan is built") {
  std::size_t asked = 0;
  RankedPlans plans(ranking.size(), [&asked](std::size_t rank) {
    ++asked;
    return ranking[rank];
  });
  CHECK(choose(parse_conv_policy("heuristic"), DType::float16, plans).plan->rank == 1);
  CHECK(asked == 2);
  CHECK(plans.built() == 2);
  CHECK(choose(parse_conv_policy("workspace<=700"), DType::float16, plans).plan->rank == 2);
  CHECK(asked == 3);
}

TEST_CASE("plan choice: an engine that only a device could judge makes the choice an estimate") {
  std::vector<EnginePlan> plans = ranking;
  plans[0].state = State::unknown;
  CHECK(taken("heuristic", DType::float16, false, plans).estimated);
  CHECK(taken("heuristic", DType::float16, false, plans).plan->rank == 1);
  // One that the policy would not take anyway changes nothing, nor does a plain refusal.
  CHECK_FALSE(taken("deterministic", DType::float16, false, plans).estimated);
  CHECK_FALSE(taken("heuristic").estimated);
}

TEST_CASE("plan choice: no plans, and why") {
  RankedPlans none("the input has 2^31 elements or more");
  CHECK(choose({}, DType::float16, none).reason == "the input has 2^31 elements or more");
  RankedPlans empty(std::vector<EnginePlan>{});
  CHECK(choose({}, DType::float16, empty).reason == "the library knows no engine");
}

TEST_CASE("plan choice: texts") {
  for (const char* text :
       {"auto", "heuristic", "zero-workspace", "deterministic", "deterministic,zero-workspace", "auto,workspace<=5",
        "eng28_k2=1_k24=-1", "eng0", "eng0,workspace<=7", "pytorch", "direct", "gemm,workspace<=1024"}) {
    CHECK(describe(parse_conv_policy(text)) == text);
  }
  CHECK(describe(parse_conv_policy("workspace<=64MiB")) == "workspace<=67108864");
  for (const char* text : {"", "fast", ",", "heuristic,", "heuristic,direct", "workspace<=5,heuristic",
                           "workspace<=", "workspace<=x", "workspace<=-1", "eng", "engine", "eng1 ", "eng1;"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_conv_policy(text), ConfigError);
  }
}

TEST_CASE("plan choice: PyTorch's policy allows TF32 and is contiguous") {
  const ConvPolicy policy = parse_conv_policy("pytorch");
  CHECK(policy.allow_tf32);
  CHECK(policy.layout == ConvLayout::contiguous);
  CHECK(engine("pytorch", DType::float32) == "eng1_k2=1");
  const std::vector<EnginePlan> rounding(ranking.begin() + 2, ranking.begin() + 4);
  RankedPlans plans(rounding);
  CHECK(choose(policy, DType::float32, plans).plan->engine == "eng10_k2=1");
}

TEST_CASE("plan notes: names, also of notes to come") {
  PlanNotes all;
  all.numerical = 1u << 0 | 1u << 4 | 1u << 9 | 1u << 10;
  all.behavior = 1u << 0 | 1u << 31;
  CHECK(all.names() == std::vector<std::string>{"tensor_core", "nondeterministic", "strict_nan", "numerical_note_10",
                                                "runtime_compilation", "behavior_note_31"});
  CHECK(exact.names().empty());
}
