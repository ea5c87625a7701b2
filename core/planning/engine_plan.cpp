#include <mnemo/core/planning/engine_plan.h>

#include <algorithm>
#include <bit>
#include <span>

namespace mnemo {

namespace {

constexpr const char* numerical_names[] = {"tensor_core",  "down_convert_inputs", "reduced_precision_reduction",
                                           "fft",          "nondeterministic",    "winograd",
                                           "winograd_4x4", "winograd_6x6",        "winograd_13x13",
                                           "strict_nan"};
constexpr const char* behavior_names[] = {"runtime_compilation", "int8_filter_reorder", "int8_bias_reorder",
                                          "cuda_graph", "cublaslt"};

void append(std::vector<std::string>& names, std::uint32_t bits, std::span<const char* const> known,
            const char* unknown) {
  for (; bits != 0; bits &= bits - 1) {
    const auto note = static_cast<std::size_t>(std::countr_zero(bits));
    names.push_back(note < known.size() ? known[note] : unknown + std::to_string(note));
  }
}

}  // namespace

std::vector<std::string> PlanNotes::names() const {
  std::vector<std::string> names;
  append(names, numerical, numerical_names, "numerical_note_");
  append(names, behavior, behavior_names, "behavior_note_");
  return names;
}

const EnginePlan& RankedPlans::operator[](std::size_t index) {
  std::optional<EnginePlan>& plan = plans_[index];
  if (!plan) plan = build_(index);
  return *plan;
}

std::size_t RankedPlans::built() const {
  return static_cast<std::size_t>(std::ranges::count_if(plans_, [](const auto& plan) { return plan.has_value(); }));
}

}  // namespace mnemo
