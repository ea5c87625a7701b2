#include <mnemo/cuda/cudnn/engine.h>

#include <charconv>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/cudnn/conv_graph.h>

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

std::string engine_name(const Descriptor& config, const Descriptor& engine) {
  std::string name =
      fmt::format("eng{}", engine.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, "an engine's number"));
  const auto knobs = config.get_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                                            CUDNN_KNOB_TYPE_COUNTS, "knobs");
  for (const Descriptor& knob : knobs) {
    name += fmt::format("_k{}={}",
                        static_cast<int>(knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, "a knob")),
                        knob.get<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, "a knob's value"));
  }
  return name;
}

namespace {

/// `for_device` tells an engine, and then a plan, which device they are for.
template <class ForDevice>
Descriptor plan_of(const ConvQuery& query, std::string_view name, cudnnHandle_t handle, const ForDevice& for_device) {
  const EngineName wanted = parse(name);
  const std::string what = fmt::format("engine {} for {}", name, describe(query));
  std::string refusal;
  const std::optional<Descriptor> graph = conv_graph(query, refusal, handle);
  if (!graph) throw CudaError(fmt::format("[cudnn] {}: {}", what, refusal));
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, *graph, "an engine's graph");
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, wanted.number, "an engine's number");
  for_device(engine, CUDNN_ATTR_ENGINE_DEVICEPROP);
  engine.finalize(what.c_str());
  const std::vector<Descriptor> knobs = choices(wanted.knobs);
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& knob : knobs) handles.push_back(knob.handle());
  Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine, "a plan's engine");
  if (!handles.empty())
    config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, std::span<const cudnnBackendDescriptor_t>(handles), "knobs");
  config.finalize(what.c_str());
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config, "a plan's engine");
  for_device(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  plan.finalize(what.c_str());
  return plan;
}

}  // namespace

Descriptor execution_plan(const ConvQuery& query, std::string_view name, const Descriptor& device) {
  return plan_of(query, name, nullptr, [&](Descriptor& of, cudnnBackendAttributeName_t attribute) {
    of.set(attribute, device, "a plan's device");
  });
}

Descriptor execution_plan(const ConvQuery& query, std::string_view name, cudnnHandle_t handle) {
  return plan_of(query, name, handle, [&](Descriptor& of, cudnnBackendAttributeName_t attribute) {
    // An engine knows its device from the graph.
    if (attribute == CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP)
      of.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle, "a plan's device");
  });
}

}  // namespace mnemo::cuda
