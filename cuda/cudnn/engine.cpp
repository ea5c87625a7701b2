#include <mnemo/cuda/cudnn/engine.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/cudnn/conv_graph.h>
#include <mnemo/memory/rounding.h>

namespace mnemo::cuda {

namespace {

struct Knob {
  int type = 0;
  std::int64_t value = 0;
};
struct EngineName {
  std::int64_t number = 0;
  std::vector<Knob> knobs;
};

/// Reads what engine_name wrote.
EngineName parse(std::string_view name) {
  EngineName result;
  std::string_view rest = name;
  const auto skip = [&](std::string_view prefix) {
    if (!rest.starts_with(prefix)) return false;
    rest.remove_prefix(prefix.size());
    return true;
  };
  const auto number = [&](auto& value) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return error == std::errc{};
  };
  bool good = skip("eng") && number(result.number);
  while (good && !rest.empty()) {
    Knob knob;
    good = skip("_k") && number(knob.type) && skip("=") && number(knob.value);
    result.knobs.push_back(knob);
  }
  if (!good) {
    throw CudaError(fmt::format("[cudnn] \"{}\" is not an engine's name; one reads eng28_k2=1_k24=4", name));
  }
  return result;
}

/// "_k2=1_k24=4" of a whole name.
std::string_view knobs_of(std::string_view name) { return name.substr(std::min(name.find('_'), name.size())); }

Descriptor engine_of(const Descriptor& graph, std::int64_t number, const Target& target, const char* what) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph, "an engine's graph");
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, number, "an engine's number");
  target.tell(engine, CUDNN_ATTR_ENGINE_DEVICEPROP);
  engine.finalize(what);
  return engine;
}

template <class Note>
std::uint32_t bits(const std::vector<Note>& notes) {
  std::uint32_t bits = 0;
  for (const Note note : notes) bits |= std::uint32_t{1} << (static_cast<unsigned>(note) & 31);
  return bits;
}

PlanNotes notes_of(const Descriptor& engine) {
  return {
      .numerical = bits(engine.get_list<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, "its numerics")),
      .behavior = bits(engine.get_list<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, "its behaviour"))};
}

std::vector<Descriptor> choices(const std::vector<Knob>& knobs) {
  std::vector<Descriptor> choices;
  for (const Knob& knob : knobs) {
    Descriptor& choice = choices.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(knob.type), "a knob");
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, knob.value, "a knob's value");
    choice.finalize("a knob");
  }
  return choices;
}

}  // namespace

Descriptor device_descriptor(const CardProperties& card) {
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  const std::string what = fmt::format("the properties of the card \"{}\"", card.name);
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(card.json), what.c_str());
  device.finalize(what.c_str());
  return device;
}

void Target::tell(Descriptor& plan) const {
  if (device_ != nullptr)
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device_, "a plan's device");
  else
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_, "a plan's device");
}

std::vector<Descriptor> ranked_engines(const Descriptor& graph, const Target& target, std::string& refusal) {
  const auto ranked = [&](cudnnBackendHeurMode_t mode, std::string& reason) -> std::vector<Descriptor> {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph, "the graph");
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode, "the mode");
    target.tell(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
    const cudnnStatus_t status = heuristics.try_finalize();
    if (is_refusal(status)) {
      reason = cudnn_text(cudnn_library(), status);
      return {};
    }
    check_cudnn(cudnn_library(), status, "ranking engines");
    auto configs =
        heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "the ranking");
    if (configs.empty()) reason = "the library ranks no engine";
    return configs;
  };
  std::vector<Descriptor> configs = ranked(CUDNN_HEUR_MODE_A, refusal);
  if (!configs.empty()) return configs;
  // Of some grouped or strided convolutions of half types it says nothing else.
  std::string ignored;
  return ranked(CUDNN_HEUR_MODE_FALLBACK, ignored);
}

RankedEngine look_at(const Descriptor& config) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  config.get_into(CUDNN_ATTR_ENGINECFG_ENGINE, engine, "an engine");
  RankedEngine found;
  found.name = fmt::format("eng{}", engine.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, "an engine's number"));
  const auto knobs = config.get_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                                            CUDNN_KNOB_TYPE_COUNTS, "knobs");
  for (const Descriptor& knob : knobs) {
    found.name += fmt::format(
        "_k{}={}", static_cast<int>(knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, "a knob")),
        knob.get<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, "a knob's value"));
  }
  found.notes = notes_of(engine);
  return found;
}

Descriptor new_plan(const Descriptor& config, const Target& target) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config, "a plan's engine");
  target.tell(plan);
  return plan;
}

ExecutionPlan execution_plan(const ConvQuery& query, std::string_view name, const Target& target) {
  const EngineName wanted = parse(name);
  const std::string what = fmt::format("engine {} for {}", name, describe(query));
  std::string refusal;
  std::optional<Descriptor> graph = conv_graph(query, refusal, target.handle());
  if (!graph) throw CudaError(fmt::format("[cudnn] {}: {}", what, refusal));
  Descriptor engine = engine_of(*graph, wanted.number, target, what.c_str());
  std::vector<Descriptor> knobs = choices(wanted.knobs);
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& knob : knobs) handles.push_back(knob.handle());
  Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine, "a plan's engine");
  if (!handles.empty())
    config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, std::span<const cudnnBackendDescriptor_t>(handles), "knobs");
  config.finalize(what.c_str());
  Descriptor plan = new_plan(config, target);
  plan.finalize(what.c_str());
  ExecutionPlan made{.parts = std::move(knobs), .plan = std::move(plan)};
  for (Descriptor* part : {&*graph, &engine, &config}) made.parts.push_back(std::move(*part));
  return made;
}

std::optional<FusedPlan> fused_plan(const ConvQuery& query, const ConvEpilogue& epilogue, std::string_view name,
                                    memory::Bytes workspace, const Target& target, std::string& reason) {
  const std::optional<Descriptor> plain = conv_graph(query, reason, target.handle());
  std::optional<Descriptor> graph = conv_graph(query, reason, target.handle(), epilogue);
  if (!plain || !graph) return std::nullopt;
  const PlanNotes notes = notes_of(engine_of(*plain, parse(name).number, target, "the engine that was decided on"));
  const memory::Bytes room = memory::round_up(workspace, memory::kMinBlock);
  reason.clear();
  for (Descriptor& config : ranked_engines(*graph, target, reason)) {
    RankedEngine engine = look_at(config);
    if (!(engine.notes == notes) || knobs_of(engine.name) != knobs_of(name)) continue;
    Descriptor plan = new_plan(config, target);
    const cudnnStatus_t status = plan.try_finalize();
    if (status != CUDNN_STATUS_SUCCESS) {
      reason = cudnn_text(cudnn_library(), status);
      continue;
    }
    const auto wanted = plan.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, "a plan's workspace");
    if (wanted <= room) {
      FusedPlan found{std::move(engine), wanted, {.parts = {}, .plan = std::move(plan)}};
      for (Descriptor* part : {&*graph, &config}) found.plan.parts.push_back(std::move(*part));
      return found;
    }
    reason = fmt::format("{} wants {} bytes of workspace, and {} were decided on", engine.name, wanted, workspace);
  }
  if (reason.empty()) reason = "the library ranks no such engine";
  return std::nullopt;
}

}  // namespace mnemo::cuda
