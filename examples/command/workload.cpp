#include "command/workload.h"

#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "command/numbers.h"
#include "models/layer.h"

namespace mnemo::command {

namespace {

models::Spec read_model(const std::string& model) {
  if (models::is_layer(model)) return models::layer_spec(model);
  std::vector<std::pair<std::string, const models::Spec*>> names;
  for (const models::Spec& known : models::specs()) names.emplace_back(known.name, &known);
  return *choose("MODEL", model, names);
}

ConvPolicy read_policy(const WorkloadOptions& options) {
  const bool own = options.conv_algorithm != "auto";
  if (!options.policy.empty() && own) {
    throw UsageError("--policy and --conv-algorithm both choose the algorithm; give one of them");
  }
  choose<int>("--conv-algorithm", options.conv_algorithm, {{"auto", 0}, {"direct", 1}, {"gemm", 2}});
  const std::string& usual = own ? options.conv_algorithm : options.usual_policy;
  ConvPolicy policy = parse_conv_policy(options.policy.empty() ? usual : options.policy);
  if (options.tf32) policy.allow_tf32 = true;
  using Layout = std::optional<ConvLayout>;
  const Layout layout = choose<Layout>(
      "--layout", options.layout,
      {{"auto", {}}, {"contiguous", ConvLayout::contiguous}, {"channels-last", ConvLayout::channels_last}});
  if (layout) policy.layout = layout;
  return policy;
}

}  // namespace

void add_workload(CLI::App& verb, WorkloadOptions& options) {
  verb.add_option("MODEL", options.model,
                  "One of those that `mnemo models` lists, or a layer such as conv3d:16,32,k3,p1@4x16x32x32x32.")
      ->required();
  verb.add_option("--dtype", options.dtype, "Of parameters and data: float32, float16, bfloat16 or float64. (float32)");
  verb.add_option("--layout", options.layout,
                  "Of convolutions on a GPU: contiguous or channels-last. (channels-last for half types)");
  verb.add_option("--policy", options.policy,
                  "Which plan a convolution takes: auto, heuristic, deterministic, workspace<=SIZE, zero-workspace, an "
                  "engine such as eng28, pytorch, direct, gemm or fastest. (" +
                      options.usual_policy + ")");
  verb.add_flag("--tf32", options.tf32, "Let float32 convolutions and matrix products round to TF32.");
  verb.add_option("--conv-algorithm", options.conv_algorithm, "mnemo's own: direct or gemm. (auto)");
}

Workload read_workload(const WorkloadOptions& options) {
  const DType dtype = choose<DType>("--dtype", options.dtype,
                                    {{"float32", DType::float32},
                                     {"float16", DType::float16},
                                     {"bfloat16", DType::bfloat16},
                                     {"float64", DType::float64}});
  return {.spec = read_model(options.model), .dtype = dtype, .policy = read_policy(options)};
}

void check_layout(const Workload& workload, const Device& device) {
  const ConvPolicy& policy = workload.policy;
  if (!policy.layout || device.backend().decisions().conv_layout(workload.dtype, policy) == *policy.layout) return;
  throw UsageError(fmt::format("--layout {}: {} computes row-major; channels-last is for GPUs and virtual cards",
                               name(*policy.layout), device.name()));
}

Device open_device(const std::string& name, const ConvPolicy& policy, const std::optional<std::string>& allocator) {
  if (allocator) return Device::open(name, memory::AllocatorConfig::parse(*allocator));
  if (policy.choice == ConvPolicy::Choice::pytorch)
    return Device::open(name, memory::AllocatorConfig::parse("expandable_segments:True"));
  return Device::open(name);
}

bool takes_size(const models::Spec& spec, std::int64_t size) {
  return size > 0 ? spec.sizes.contains(size) : !spec.extents.empty();
}

std::string size_text(const models::Spec& spec, std::int64_t size) {
  return size > 0 ? grouped(size) : fmt::format("{}", fmt::join(spec.extents, "x"));
}

void refuse_shape(const ShapeError& error, const models::Spec& spec, std::int64_t size) {
  if (takes_size(spec, size)) throw UsageError(error.what());
  throw UsageError(
      fmt::format("{}\n{} takes --size {}, here it was {}", error.what(), spec.name, spec.sizes.text(), size));
}

std::string policy_text(const ConvPolicy& policy) {
  std::string text = describe(policy);
  if (policy.allow_tf32 && policy.choice != ConvPolicy::Choice::pytorch) text += " with TF32";
  if (policy.layout) text += std::string(", ") + name(*policy.layout);
  return text;
}

}  // namespace mnemo::command
