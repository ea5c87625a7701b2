#include <mnemo/core/planning/plan_book.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/core/error.h>
#include <mnemo/core/planning/plan_store.h>
#include <mnemo/core/planning/shipped_tables.h>
#include <mnemo/core/planning/tabulation.h>

namespace mnemo {

namespace {

/// Reads "9.8.0" before "9.19.0".
std::vector<int> numbers(const std::string& version) {
  std::vector<int> numbers(1, 0);
  for (const char c : version) {
    if (c == '.')
      numbers.push_back(0);
    else if (c >= '0' && c <= '9' && numbers.back() < 100000)
      numbers.back() = 10 * numbers.back() + (c - '0');
  }
  return numbers;
}

/// The versions that tables are there for, oldest first.
std::vector<std::string> tabled_versions(const std::string& card) {
  std::vector<std::string> versions = stored_versions(card);
  for (std::string& version : shipped_versions(card)) versions.push_back(std::move(version));
  std::ranges::sort(versions, {}, numbers);
  versions.erase(std::unique(versions.begin(), versions.end()), versions.end());
  return versions;
}

PlanBook::Sources find_sources(const std::string& card, std::string version) {
  std::string reason;
  std::shared_ptr<ConvPlanner> library = open_conv_planner(card, reason);
  const bool is_at_hand = library && (version.empty() || version == library->version());
  if (library && !is_at_hand) {
    reason = fmt::format("the library at hand is cuDNN {}", library->version());
    library = nullptr;
  }
  if (is_at_hand) {
    version = library->version();
  } else {
    const std::vector<std::string> known = tabled_versions(card);
    if (version.empty() && !known.empty()) version = known.back();
    if (!version.empty() && std::ranges::find(known, version) == known.end()) {
      throw DeviceError(fmt::format("[device] no table of cuDNN {} for {}, and {}; tables are there for {}", version,
                                    card, reason,
                                    known.empty() ? "no version" : fmt::format("{}", fmt::join(known, ", "))));
    }
  }
  if (version.empty()) return {nullptr, std::move(reason), std::nullopt, PlanTable("", card)};
  return {std::move(library), std::move(reason), shipped_table(version, card), load_plans(version, card)};
}

/// All books of the process. What they learned is saved when it ends.
class Shelf {
 public:
  ~Shelf() {
    for (const auto& [key, book] : books_) book->save();
  }

  std::shared_ptr<PlanBook> book(const std::string& card, const std::string& version) {
    const std::lock_guard lock(mutex_);
    const auto key = std::pair(card, version);
    const auto found = books_.find(key);
    if (found != books_.end()) return found->second;
    // Made first: where there are no sources, nothing is put on the shelf.
    auto book = std::make_shared<PlanBook>(find_sources(card, version));
    return books_.emplace(key, std::move(book)).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<PlanBook>> books_;
};

}  // namespace

std::shared_ptr<PlanBook> PlanBook::open(const std::string& card, const std::string& version) {
  static Shelf shelf;
  return shelf.book(card, version);
}

std::string PlanBook::source() const {
  if (version().empty()) return "estimated: " + sources_.reason;
  if (has_library()) return "cuDNN " + version();
  return "tables of cuDNN " + version();
}

std::optional<PlanAnswer> PlanBook::answer(const ConvQuery& query) {
  const std::lock_guard lock(mutex_);
  if (sources_.shipped) {
    if (const PlanAnswer* known = sources_.shipped->find(query)) return *known;
  }
  if (const PlanAnswer* known = sources_.stored.find(query)) return *known;
  if (!sources_.library) return std::nullopt;
  PlanAnswer answer = ask(*sources_.library, query);
  sources_.stored.insert(query, answer);
  changed_ = true;
  return answer;
}

std::optional<RankedPlans> PlanBook::ranking(const ConvQuery& query) {
  if (has_library()) return sources_.library->rank(query);
  auto known = answer(query);
  if (!known) return std::nullopt;
  return known->plans.empty() ? RankedPlans(known->obstacle) : RankedPlans(known->plans);
}

std::optional<EnginePlan> PlanBook::fused(const ConvQuery& query, const ConvEpilogue& epilogue,
                                          const std::string& engine) const {
  if (!has_library()) return std::nullopt;
  return sources_.library->fused(query, epilogue, engine);
}

void PlanBook::save() {
  const std::lock_guard lock(mutex_);
  if (changed_) save_plans(sources_.stored);
  changed_ = false;
}

}  // namespace mnemo
