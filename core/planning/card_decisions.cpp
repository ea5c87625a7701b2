#include <mnemo/core/planning/card_decisions.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/conv_split.h>
#include <mnemo/core/planning/plan_book.h>
#include <mnemo/core/planning/plan_choice.h>
#include <mnemo/core/planning/plan_clock.h>
#include <mnemo/core/sorting.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

namespace {

using Choice = ConvPolicy::Choice;

/// What a plan is remembered by.
struct Key {
  const ConvQuery& query;
  const ConvPolicy& policy;
};

struct Hash {
  using is_transparent = void;
  std::size_t operator()(const Key& key) const {
    const ConvPolicy& policy = key.policy;
    std::size_t state = hash(key.query);
    state = state * 31 + static_cast<std::size_t>(policy.choice) * 2 + (policy.allow_tf32 ? 1 : 0);
    state = state * 31 + static_cast<std::size_t>(policy.workspace_limit);
    return policy.engine.empty() ? state : state * 31 + std::hash<std::string>()(policy.engine);
  }
  std::size_t operator()(const RememberedPlan& plan) const { return (*this)(Key{plan.query, plan.policy}); }
};

struct Equal {
  using is_transparent = void;
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    return a.query == b.query && a.policy == b.policy;
  }
};

/// What a workspace is for: the sums of the pieces into which a long depth is cut, so that a small result keeps the
/// whole card busy. Pieces of fewer than 128, and more than 32 of them, are not worth adding up. And a little beside,
/// for the counters of those that wait for each other.
memory::Bytes partial_sums(const MatmulProblem& problem) {
  constexpr std::int64_t kShortest = 128, kMostPieces = 32;
  constexpr memory::Bytes kBeside = 64 * memory::KiB, kMost = memory::Bytes{1} << 40;
  const std::int64_t pieces = std::min(kMostPieces, problem.depth / kShortest);
  if (pieces < 2) return kBeside;
  const double bytes = static_cast<double>(problem.batch) * static_cast<double>(problem.rows) *
                       static_cast<double>(problem.columns) * static_cast<double>(pieces) *
                       (problem.dtype == DType::float64 ? 8 : 4);
  return kBeside + static_cast<memory::Bytes>(std::min(bytes, static_cast<double>(kMost)));
}

class CardDecisions final : public Decisions {
 public:
  CardDecisions(const Card& card, std::string version) : card_(card), version_(std::move(version)) {
    if (!version_.empty()) book();  // an unknown version is refused at once
  }
  CardDecisions(const Card& card, std::shared_ptr<PlanBook> book, std::shared_ptr<PlanClock> clock)
      : card_(card), is_present_(true), clock_(std::move(clock)) {
    std::call_once(opened_, [&] { book_ = std::move(book); });
  }

  ConvPlan conv(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const override {
    const RememberedPlan* known = remembered(problem, pass, policy);
    return known != nullptr ? known->plan : own_plan(problem, policy);
  }

  /// Null for a policy that names one of mnemo's own algorithms.
  const RememberedPlan* remembered(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const override {
    if (policy.choice == Choice::direct || policy.choice == Choice::gemm) return nullptr;
    const ConvQuery query{problem, pass, conv_layout(problem.dtype, policy)};
    {
      const std::shared_lock lock(mutex_);
      const auto found = plans_.find(Key{query, policy});
      if (found != plans_.end()) return &*found;
    }
    // Two threads may ask for the same key at once; both get the same answer.
    const ConvPlan plan = decide(query, policy);
    const std::unique_lock lock(mutex_);
    return &*plans_.emplace(*this, query, policy, plan).first;
  }

  ConvLayout conv_layout(DType dtype, const ConvPolicy& policy) const override {
    if (policy.layout) return *policy.layout;
    return is_half(dtype) ? ConvLayout::channels_last : ConvLayout::contiguous;
  }

  RankedPlans plans(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const override {
    if (is_empty(problem)) return RankedPlans("nothing is computed: an operand is empty");
    if (std::string obstacle = size_obstacle(problem); !obstacle.empty()) return RankedPlans(std::move(obstacle));
    auto ranking = book().ranking({problem, pass, conv_layout(problem.dtype, policy)});
    return ranking ? std::move(*ranking) : RankedPlans(book().source());
  }

  std::optional<double> seconds(const ConvQuery& query, const EnginePlan& plan) const override {
    return clock_ ? clock_->seconds(query, plan) : std::nullopt;
  }

  std::optional<EnginePlan> fused(const ConvQuery& query, const ConvEpilogue& epilogue,
                                  const std::string& engine) const override {
    return book().fused(query, epilogue, engine);
  }

  memory::Bytes matmul_workspace(const MatmulProblem& problem, const ConvPolicy& policy) const override {
    if (policy.choice == Choice::pytorch) return card_.matmul_workspace;
    return std::min(card_.matmul_workspace, partial_sums(problem));
  }
  memory::Bytes sort_workspace(const SortSizes& sizes, DType dtype) const override {
    return gpu_sort_workspace(sizes, dtype);
  }
  std::string cudnn() const override { return book().version(); }
  std::string source() const override { return book().source(); }

 private:
  /// Opened when the first convolution asks: a program without convolutions starts no library.
  PlanBook& book() const {
    std::call_once(opened_, [this] { book_ = PlanBook::open(first_name(card_), version_); });
    return *book_;
  }

  ConvPlan decide(const ConvQuery& query, const ConvPolicy& policy) const {
    const ConvProblem& problem = query.problem;
    if (is_empty(problem)) return {};
    if (!size_obstacle(problem).empty()) {
      const ConvPlan split =
          policy.choice == Choice::pytorch ? pytorch_split(problem) : conv_split(problem, query.pass);
      return split.step > 0 ? split : own_plan(problem, policy);
    }
    if (policy.choice == Choice::fastest) return fastest(query, policy);
    bool estimated = false;
    if (policy.choice == Choice::engine) {
      // Tables do not keep every engine, only the library ranks them all.
      auto ranking = book().ranking(query);
      if (!ranking) return without_library(problem, policy);
      const PlanChoice choice = choose(policy, problem.dtype, *ranking);
      if (choice.plan) return library_plan(choice);
      estimated = !book().has_library();
    }
    auto answer = book().answer(query);
    if (!answer) return without_library(problem, policy);
    RankedPlans plans = answer->plans.empty() ? RankedPlans(answer->obstacle) : RankedPlans(answer->plans);
    ConvPolicy general = policy;
    if (policy.choice == Choice::engine) general.choice = Choice::automatic;
    const PlanChoice choice = choose(general, problem.dtype, plans);
    ConvPlan plan = choice.plan ? library_plan(choice) : own_plan(problem, policy);
    plan.estimated = choice.estimated || estimated;
    return plan;
  }

  /// The first plans that the policy admits are timed, as many as PyTorch's benchmark mode times: there may be 60, and
  /// each takes a build and a first run. Of those that take equally long the favourite is taken, and also where none
  /// can be timed: the device may have no memory for it beside what the program holds.
  ConvPlan fastest(const ConvQuery& query, const ConvPolicy& policy) const {
    if (!clock_) {
      throw DeviceError(
          fmt::format("[conv] the policy fastest times plans, and {} cannot: it needs a GPU with cuDNN; "
                      "take heuristic, the library's favourite",
                      card_.name));
    }
    auto ranking = book().ranking(query);
    if (!ranking) return without_library(query.problem, policy);
    PlanChoice best;
    double least = std::numeric_limits<double>::infinity();
    constexpr int kMostTimed = 10;
    int admitted = 0;
    for (std::size_t i = 0; i < ranking->size() && admitted < kMostTimed; ++i) {
      const EnginePlan& plan = (*ranking)[i];
      if (!is_admitted(policy, query.problem.dtype, plan)) continue;
      ++admitted;
      if (!best.plan) best.plan = plan;
      const std::optional<double> seconds = clock_->seconds(query, plan);
      if (!seconds || *seconds >= least) continue;
      least = *seconds;
      best.plan = plan;
    }
    return best.plan ? library_plan(best) : own_plan(query.problem, policy);
  }

  /// A device that is there computes such a convolution itself; of one that is not, nobody knows what it would do.
  ConvPlan without_library(const ConvProblem& problem, const ConvPolicy& policy) const {
    if (is_present_) return own_plan(problem, policy);
    return {.estimated = true};
  }

  static ConvPlan library_plan(const PlanChoice& choice) {
    return {.algorithm = ConvAlgorithm::library,
            .workspace = choice.plan->workspace,
            .estimated = choice.estimated,
            .engine = memory::intern(choice.plan->engine)};
  }

  Card card_;
  std::string version_;
  bool is_present_ = false;  ///< a real device
  std::shared_ptr<PlanClock> clock_;
  mutable std::once_flag opened_;
  mutable std::shared_ptr<PlanBook> book_;
  mutable std::shared_mutex mutex_;
  mutable std::unordered_set<RememberedPlan, Hash, Equal> plans_;  ///< none ever leaves
};

}  // namespace

std::shared_ptr<const Decisions> card_decisions(const Card& card, std::string_view cudnn_version) {
  return std::make_shared<CardDecisions>(card, std::string(cudnn_version));
}

std::shared_ptr<const Decisions> device_decisions(const Card& device, std::shared_ptr<PlanBook> book,
                                                  std::shared_ptr<PlanClock> clock) {
  return std::make_shared<CardDecisions>(device, std::move(book), std::move(clock));
}

}  // namespace mnemo
