// The planner over the real cuDNN library, for a card that need not be there.
#include <mnemo/cuda/conv_planner.h>

#include <mutex>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/cuda/cudnn/conv_graph.h>
#include <mnemo/cuda/cudnn/engine.h>

namespace mnemo::cuda {

namespace {

/// Older cards get the library's fallback engines only, which is not what it would take on them.
constexpr int kOldestCapability = 75;

EnginePlan build(std::size_t rank, const Descriptor& config, const Descriptor& device) {
  const std::lock_guard lock(cudnn_turn());
  RankedEngine engine = look_at(config);
  EnginePlan plan;
  plan.rank = static_cast<int>(rank);
  plan.engine = std::move(engine.name);
  plan.notes = engine.notes;
  Descriptor execution = new_plan(config, Target(device));
  const cudnnStatus_t status = execution.try_finalize();
  if (status == CUDNN_STATUS_SUCCESS) {
    plan.workspace = execution.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, "a plan's workspace");
    return plan;
  }
  // Anything but a plain refusal comes from what is missing here: a driver that loads modules.
  const bool compiles = plan.notes.has(BehaviorNote::runtime_compilation);
  plan.state = is_refusal(status) && !compiles ? EnginePlan::State::refused : EnginePlan::State::unknown;
  plan.reason = cudnn_text(Descriptor::library(), status);
  return plan;
}

EnginePlan refused(std::string_view engine, std::string reason) {
  EnginePlan plan;
  plan.engine = engine;
  plan.state = EnginePlan::State::refused;
  plan.reason = std::move(reason);
  return plan;
}

class CudnnPlanner final : public ConvPlanner {
 public:
  explicit CudnnPlanner(const CardProperties& card)
      : device_(std::make_shared<const Descriptor>(device_descriptor(card))) {}

  const std::string& version() const override { return cudnn_library().version; }

  RankedPlans rank(const ConvQuery& query) override {
    std::string refusal = is_empty(query.problem) ? "an operand is empty" : size_obstacle(query.problem);
    if (!refusal.empty()) return RankedPlans(refusal);
    const std::lock_guard lock(cudnn_turn());
    const std::optional<Descriptor> graph = conv_graph(query, refusal);
    if (!graph) return RankedPlans(refusal);
    auto configs = std::make_shared<const std::vector<Descriptor>>(ranked_engines(*graph, Target(*device_), refusal));
    if (configs->empty()) return RankedPlans(refusal);
    const std::size_t count = configs->size();
    return {count, [configs = std::move(configs), device = device_](std::size_t rank) {
              return build(rank, (*configs)[rank], *device);
            }};
  }

  EnginePlan plan(const ConvQuery& query, std::string_view engine) override {
    const std::lock_guard lock(cudnn_turn());
    try {
      EnginePlan plan;
      plan.workspace = workspace_of(query, engine);
      plan.engine = engine;
      return plan;
    } catch (const CudaError& error) {
      return refused(engine, error.what());
    }
  }

  EnginePlan fused(const ConvQuery& query, const ConvEpilogue& epilogue, std::string_view engine) override {
    const std::lock_guard lock(cudnn_turn());
    try {
      std::string reason;
      const memory::Bytes workspace = workspace_of(query, engine);
      const auto found = fused_plan(query, epilogue, engine, workspace, Target(*device_), reason);
      if (!found) return refused(engine, reason);
      EnginePlan plan;
      plan.engine = found->engine.name;
      plan.notes = found->engine.notes;
      plan.workspace = found->workspace;
      return plan;
    } catch (const CudaError& error) {
      return refused(engine, error.what());
    }
  }

 private:
  memory::Bytes workspace_of(const ConvQuery& query, std::string_view engine) const {
    return execution_plan(query, engine, Target(*device_)).workspace();
  }

  std::shared_ptr<const Descriptor> device_;
};

}  // namespace

std::shared_ptr<ConvPlanner> open_conv_planner(const CardProperties& card, std::string& reason) {
  const CudnnLibrary& library = cudnn_library();
  if (!library.obstacle.empty()) {
    reason = "no cuDNN: " + library.obstacle;
    return nullptr;
  }
  const int newest = static_cast<int>(library.get_max_device_version() / 10);
  if (card.capability < kOldestCapability || card.capability > newest) {
    reason = fmt::format("cuDNN {} decides for compute capability {} to {}, and {} has {}", library.version,
                         capability_text(kOldestCapability), capability_text(newest), card.name,
                         capability_text(card.capability));
    return nullptr;
  }
  return std::make_shared<CudnnPlanner>(card);
}

}  // namespace mnemo::cuda
