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

/// One thread at a time: the library loads its parts while it answers.
std::mutex turn;

template <class Note>
std::uint32_t bits(const std::vector<Note>& notes) {
  std::uint32_t bits = 0;
  for (const Note note : notes) bits |= std::uint32_t{1} << (static_cast<unsigned>(note) & 31);
  return bits;
}

EnginePlan build(std::size_t rank, const Descriptor& config, const Descriptor& device) {
  const std::lock_guard lock(turn);
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  config.get_into(CUDNN_ATTR_ENGINECFG_ENGINE, engine, "an engine");
  EnginePlan plan;
  plan.rank = static_cast<int>(rank);
  plan.engine = engine_name(config, engine);
  plan.notes.numerical =
      bits(engine.get_list<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, "numerical notes"));
  plan.notes.behavior =
      bits(engine.get_list<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, "behaviour notes"));
  Descriptor execution(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  execution.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config, "a plan's engine");
  execution.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device, "a plan's device");
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

class CudnnPlanner final : public ConvPlanner {
 public:
  explicit CudnnPlanner(const CardProperties& card)
      : device_(std::make_shared<const Descriptor>(device_descriptor(card))) {}

  const std::string& version() const override { return cudnn_library().version; }

  RankedPlans rank(const ConvQuery& query) override {
    std::string refusal = is_empty(query.problem) ? "an operand is empty" : size_obstacle(query.problem);
    if (!refusal.empty()) return RankedPlans(refusal);
    const std::lock_guard lock(turn);
    const std::optional<Descriptor> graph = conv_graph(query, refusal);
    if (!graph) return RankedPlans(refusal);
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, *graph, "the graph");
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A, "the mode");
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device_, "the device");
    const cudnnStatus_t status = heuristics.try_finalize();
    if (is_refusal(status)) return RankedPlans(cudnn_text(cudnn_library(), status));
    check_cudnn(cudnn_library(), status, describe(query).c_str());
    auto configs = std::make_shared<const std::vector<Descriptor>>(
        heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "the ranking"));
    if (configs->empty()) return RankedPlans("the library ranks no engine");
    const std::size_t count = configs->size();
    return {count, [configs = std::move(configs), device = device_](std::size_t rank) {
              return build(rank, (*configs)[rank], *device);
            }};
  }

  EnginePlan plan(const ConvQuery& query, std::string_view engine) override {
    EnginePlan plan;
    plan.engine = engine;
    const std::lock_guard lock(turn);
    try {
      plan.workspace = execution_plan(query, engine, *device_)
                           .get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, "a plan's workspace");
    } catch (const CudaError& error) {
      plan.state = EnginePlan::State::refused;
      plan.reason = error.what();
    }
    return plan;
  }

 private:
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
