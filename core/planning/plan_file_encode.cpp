#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/planning/packed_bytes.h>
#include <mnemo/core/planning/plan_file.h>
#include <mnemo/core/planning/plan_file_format.h>
#include <mnemo/core/planning/query_list.h>
#include <mnemo/memory/error.h>

namespace mnemo {

namespace {

struct Earlier {
  bool operator()(const PlanFileEngine& a, const PlanFileEngine& b) const {
    return std::tie(a.name, a.notes.numerical, a.notes.behavior) <
           std::tie(b.name, b.notes.numerical, b.notes.behavior);
  }
};

void check_name(const std::string& name) {
  if (name.size() > kPlanFileLongestName)
    throw Error(fmt::format("a plan file has no place for a name of {} bytes", name.size()));
}

class Encoder {
 public:
  explicit Encoder(std::span<const PlanTable> tables) : tables_(tables) {}

  std::string bytes() {
    count_engines();
    for (const PlanTable& table : tables_) {
      for (const auto& [query, answer] : table) queries_.push_back(query);
    }
    sort_queries(queries_);

    PackedWriter body;
    write_header(body);
    body.number(engines_.size());
    for (const PlanFileEngine& engine : engines_) {
      body.text(engine.name);
      body.number(engine.notes.numerical);
      body.number(engine.notes.behavior);
    }
    std::vector<std::string> columns;
    for (const PlanTable& table : tables_) columns.push_back(column(table));  // numbers the answers
    body.number(places_.size());
    body.raw(answers_.bytes());
    write_queries(queries_, body);
    for (const std::string& column : columns) body.text(column);

    PackedWriter file;
    file.raw(kPlanFileMagic);
    file.number(kPlanFileFormat);
    file.word(file.bytes().size() + kPlanFileWord + body.bytes().size() + kPlanFileWord);
    file.raw(body.bytes());
    file.word(checksum(file.bytes()));
    return file.bytes();
  }

 private:
  void write_header(PackedWriter& writer) const {
    writer.text(tables_.empty() ? "" : tables_.front().version());
    writer.number(tables_.size());
    for (const PlanTable& table : tables_) writer.text(table.card());
  }

  void count_engines() {
    std::map<PlanFileEngine, std::size_t, Earlier> uses;
    for (const PlanTable& table : tables_) {
      for (const auto& [query, answer] : table) {
        for (const EnginePlan& plan : answer->plans) ++uses[{plan.engine, plan.notes}];
      }
    }
    for (const auto& [engine, count] : uses) {
      check_name(engine.name);
      engines_.push_back(engine);
    }
    std::ranges::stable_sort(engines_, std::ranges::greater(),
                             [&](const PlanFileEngine& engine) { return uses[engine]; });
    for (std::size_t i = 0; i < engines_.size(); ++i) engine_places_[engines_[i]] = i;
  }

  std::string column(const PlanTable& table) {
    PackedWriter column;
    std::size_t expected = 0;
    for (const ConvQuery& query : queries_) {
      const PlanAnswer* answer = table.find(query);
      if (!answer) {
        column.number(0);
        continue;
      }
      const std::size_t place = this->place(*answer);
      column.number(1 + zigzag(static_cast<std::int64_t>(place - expected)));
      expected = place + 1;
    }
    return column.bytes();
  }

  /// Of an answer among the distinct ones.
  std::size_t place(const PlanAnswer& answer) {
    PackedWriter writer;
    writer.number(answer.plans.size());
    if (answer.plans.empty()) writer.raw(answer.obstacle);
    std::int64_t rank = 0;  // that one expects
    for (const EnginePlan& plan : answer.plans) {
      writer.number(engine_places_.find({plan.engine, plan.notes})->second);
      writer.number(static_cast<std::uint64_t>(plan.workspace));
      writer.number(zigzag(plan.rank - rank) * kPlanStates + static_cast<std::uint64_t>(plan.state));
      rank = std::int64_t{plan.rank} + 1;
    }
    const auto [place, is_new] = places_.try_emplace(writer.bytes(), places_.size());
    if (is_new) answers_.text(writer.bytes());
    return place->second;
  }

  std::span<const PlanTable> tables_;
  std::vector<PlanFileEngine> engines_;
  std::map<PlanFileEngine, std::size_t, Earlier> engine_places_;
  std::vector<ConvQuery> queries_;
  std::unordered_map<std::string, std::size_t> places_;
  PackedWriter answers_;
};

}  // namespace

std::string encode(std::span<const PlanTable> tables) {
  if (tables.size() > kPlanFileMostCards)
    throw Error(fmt::format("a plan file has no place for {} cards", tables.size()));
  for (std::size_t i = 0; i < tables.size(); ++i) {
    check_name(tables[i].version());
    check_name(tables[i].card());
    if (tables[i].version() != tables[0].version()) {
      throw Error(fmt::format("a plan file holds one version of cuDNN, not both {} and {}", tables[0].version(),
                              tables[i].version()));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (tables[i].card() == tables[j].card())
        throw Error(fmt::format("a plan file holds one table of {}, not two", tables[i].card()));
    }
  }
  return Encoder(tables).bytes();
}

}  // namespace mnemo
