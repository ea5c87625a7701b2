// What is known of one card with one version of its library: answers of the shipped table, of the disk's table, or of
// the library itself, which is asked when they do not suffice.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <mnemo/core/planning/conv_planner.h>
#include <mnemo/core/planning/plan_table.h>

namespace mnemo {

class PlanBook {
 public:
  /// The process's book for this card and version ("": that of the library at hand, or else the newest that a table is
  /// there for). Throws DeviceError, with the versions there are, if a version is asked for that nobody knows.
  static std::shared_ptr<PlanBook> open(const std::string& card, const std::string& version);

  struct Sources {
    std::shared_ptr<ConvPlanner> library;  ///< or null, and why
    std::string reason;
    std::optional<PlanTable> shipped;
    PlanTable stored;  ///< of the disk; what the library answers is added
  };
  explicit PlanBook(Sources sources) : sources_(std::move(sources)) {}

  /// "9.19.0", or "" if nothing is known of the card.
  const std::string& version() const { return sources_.stored.version(); }
  bool has_library() const { return sources_.library != nullptr; }
  /// For people: see Decisions::source.
  std::string source() const;

  /// The eligible plans (see plan_choice.h); nothing if nobody can answer.
  std::optional<PlanAnswer> answer(const ConvQuery& query);
  /// The whole ranking of the library; without it the eligible plans.
  std::optional<RankedPlans> ranking(const ConvQuery& query);
  /// See ConvPlanner::fused; nothing without the library.
  std::optional<EnginePlan> fused(const ConvQuery& query, const ConvEpilogue& epilogue,
                                  const std::string& engine) const;
  /// Writes what the library answered since the last time to the disk.
  void save();

 private:
  Sources sources_;
  std::mutex mutex_;
  bool changed_ = false;
};

}  // namespace mnemo
