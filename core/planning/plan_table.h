// What a card's library answered, by query: the plans that a policy can take. Of one version of the library and one
// card, since rankings belong to both.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/engine_plan.h>

namespace mnemo {

struct PlanAnswer {
  std::vector<EnginePlan> plans;  ///< the eligible() ones in rank order, without EnginePlan::reason
  std::string obstacle;           ///< if there are no plans: why

  bool operator==(const PlanAnswer&) const = default;
};

class PlanTable {
  struct Hash {
    std::size_t operator()(const ConvQuery& query) const { return hash(query); }
  };
  /// Tables, and queries of one table, share what is equal: most cards of one generation answer alike.
  using Answers = std::unordered_map<ConvQuery, std::shared_ptr<const PlanAnswer>, Hash>;

 public:
  PlanTable(std::string version, std::string card) : version_(std::move(version)), card_(std::move(card)) {}

  /// Of the library, "9.19.0".
  const std::string& version() const { return version_; }
  /// "h200"
  const std::string& card() const { return card_; }
  std::size_t size() const { return answers_.size(); }

  /// Null if nobody asked; valid until the query is inserted again.
  const PlanAnswer* find(const ConvQuery& query) const;
  /// Replaces an older answer. Reasons are dropped, and so is the obstacle if there are plans.
  void insert(const ConvQuery& query, PlanAnswer answer);
  /// The same of an answer that others have too, and that is as `insert` would leave it.
  void share(const ConvQuery& query, std::shared_ptr<const PlanAnswer> answer);
  /// Takes over what `other` knows, also where both know something.
  void merge(const PlanTable& other);
  void reserve(std::size_t queries) { answers_.reserve(queries); }

  /// Pairs (query, shared answer) in no order.
  Answers::const_iterator begin() const { return answers_.begin(); }
  Answers::const_iterator end() const { return answers_.end(); }

 private:
  std::string version_, card_;
  Answers answers_;
};

}  // namespace mnemo
