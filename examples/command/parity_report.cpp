#include <algorithm>

#include <fmt/format.h>

#include "command/numbers.h"
#include "command/parity.h"
#include "command/table.h"
#include "command/workload.h"

namespace mnemo::command {

namespace {

using training::Moment;
using training::PhaseReport;

constexpr std::pair<const char*, memory::Bytes PhaseReport::*> kFigures[] = {
    {"allocated", &PhaseReport::allocated},
    {"reserved", &PhaseReport::reserved},
    {"peak_allocated", &PhaseReport::peak_allocated},
    {"peak_reserved", &PhaseReport::peak_reserved}};

Json figures(const PhaseReport& phase) {
  Json object = Json::object();
  for (const auto& [name, figure] : kFigures) object[name] = phase.*figure;
  return object;
}

/// Both sides side by side; a moment that one side has not is left out there.
Json phases(const ParityResult& result) {
  Json list = Json::array();
  for (std::size_t i = 0; i < std::max(result.device.size(), result.twin.size()); ++i) {
    const Moment& named = i < result.device.size() ? result.device[i] : result.twin[i];
    Json object{{"step", named.step}, {"phase", named.memory.phase}};
    if (i < result.device.size()) object.update(figures(result.device[i].memory));
    if (i < result.twin.size()) object["twin"] = figures(result.twin[i].memory);
    list.push_back(std::move(object));
  }
  return list;
}

Json to_json(const ParityResult& result) {
  const training::ParityPoint& point = result.point;
  Json object{{"model", point.spec.name},
              {"batch", point.batch},
              {"size", point.size},
              {"dtype", point.dtype()},
              {"optimizer", training::name(point.training.rule)}};
  if (point.training.graph) object["graph"] = true;
  if (!result.skipped.empty()) {
    object["skipped"] = result.skipped;
    return object;
  }
  object["phases"] = phases(result);
  object["difference"] = result.difference.bytes;
  return object;
}

Json to_json(const std::vector<PlanRow>& rows) {
  Json list = Json::array();
  for (const PlanRow& row : rows) {
    const bool ready = row.state == "ready";
    list.push_back({{"engine", row.engine},
                    {"workspace", ready ? Json(row.workspace) : Json(nullptr)},
                    {"notes", row.notes},
                    {"state", row.state}});
  }
  return list;
}

/// Where two sides are the same, they are written once.
Json to_json(const PlanPair& pair) {
  Json object{{"pass", pair.pass}, {"plans", to_json(pair.device)}};
  if (!pair.asked) return object;
  object["equal"] = pair.equal();
  if (!pair.equal()) object["twin"] = to_json(pair.twin);
  return object;
}

/// "step 1 backward: peak_allocated 1,024, here 512"
std::string first_place(const ParityResult& result) {
  if (!result.difference.first) return "";
  const std::size_t i = *result.difference.first;
  if (i >= result.device.size() || i >= result.twin.size()) return "one side has more phases";
  const Moment &device = result.device[i], &twin = result.twin[i];
  std::string text = fmt::format("step {} {}:", device.step, device.memory.phase);
  if (device.step != twin.step || device.memory.phase != twin.memory.phase)
    text += fmt::format(" the twin is in step {} {}", twin.step, twin.memory.phase);
  for (const auto& [name, figure] : kFigures) {
    if (device.memory.*figure == twin.memory.*figure) continue;
    return text + fmt::format(" {} {}, twin {}", name, grouped(device.memory.*figure), grouped(twin.memory.*figure));
  }
  return text;
}

std::string plan_text(const PlanRow& row) {
  if (row.state != "ready") return row.engine + ' ' + row.state;
  return fmt::format("{} with {}", row.engine, grouped(row.workspace));
}

/// How many lists are the same, and where others begin to differ.
std::string plans_text(const Parity& parity) {
  std::int64_t asked = 0, equal = 0;
  std::string others;
  for (const PlanPair& pair : parity.plans) {
    if (!pair.asked) continue;
    ++asked;
    if (pair.equal()) {
      ++equal;
      continue;
    }
    const auto [a, b] =
        std::mismatch(pair.device.begin(), pair.device.end(), pair.twin.begin(), pair.twin.end(), agree);
    others += fmt::format(
        "  {}\n    from rank {} on: {}; twin: {}\n", pair.pass, a == pair.device.end() ? b->rank : a->rank,
        a == pair.device.end() ? "no more" : plan_text(*a), b == pair.twin.end() ? "no more" : plan_text(*b));
  }
  if (asked == 0) return "";
  std::string text = fmt::format("\nplans of {} convolution passes: {} lists are the same\n", asked, equal);
  if (parity.plans_left_out > 0) text += fmt::format("{} passes were not asked for: no time\n", parity.plans_left_out);
  return text + others;
}

Json to_json(const ParitySide& side) {
  return {{"device", side.device},
          {"cudnn", side.cudnn},
          {"source", side.source},
          {"context", side.context},
          {"capacity", side.capacity}};
}

}  // namespace

memory::Bytes Parity::difference() const {
  memory::Bytes most = 0;
  for (const ParityResult& point : points) most = std::max(most, point.difference.bytes);
  return most;
}

std::int64_t Parity::compared() const {
  return std::count_if(points.begin(), points.end(), [](const ParityResult& point) { return point.skipped.empty(); });
}

ParitySide describe_side(const Device& device) {
  const Decisions& decisions = device.backend().decisions();
  const memory::Source& source = device.allocator().source();
  return {.device = device.name(),
          .cudnn = decisions.cudnn(),
          .source = decisions.source(),
          .context = source.context_bytes(),
          .capacity = source.capacity()};
}

Json to_json(const Parity& parity) {
  Json points = Json::array(), plans = Json::array();
  for (const ParityResult& point : parity.points) points.push_back(to_json(point));
  for (const PlanPair& pair : parity.plans) plans.push_back(to_json(pair));
  return {{"device", parity.device.device},
          {"title", parity.title},
          {"against", parity.against.device},
          {"cudnn", {{"device", parity.device.cudnn}, {"against", parity.against.cudnn}}},
          {"context", parity.device.context},
          {"sides", {{"device", to_json(parity.device)}, {"against", to_json(parity.against)}}},
          {"allocator", parity.allocator},
          {"steps", parity.steps},
          {"compared", parity.compared()},
          {"difference", parity.difference()},
          {"failures", parity.failures},
          {"points", std::move(points)},
          {"plans", std::move(plans)},
          {"plans_left_out", parity.plans_left_out}};
}

std::string text(const Parity& parity) {
  const auto side = [](const ParitySide& s) { return fmt::format("{} (decisions: {})", s.device, s.source); };
  std::string page =
      fmt::format("{}{} against {}: memory after every part of {} steps, in bytes\n\n", side(parity.device),
                  parity.title.empty() ? "" : ", " + parity.title + ",", side(parity.against), parity.steps);
  Table table({{"model", Table::Align::left},
               {"batch"},
               {"size"},
               {"dtype", Table::Align::left},
               {"optimizer", Table::Align::left},
               {"peak allocated"},
               {"peak reserved"},
               {"difference"},
               {"first in", Table::Align::left}});
  for (const ParityResult& result : parity.points) {
    const training::ParityPoint& point = result.point;
    PhaseReport peak;
    for (const Moment& moment : result.device) {
      peak.peak_allocated = std::max(peak.peak_allocated, moment.memory.peak_allocated);
      peak.peak_reserved = std::max(peak.peak_reserved, moment.memory.peak_reserved);
    }
    const bool compared = result.skipped.empty();
    table.add({point.spec.name, grouped(point.batch), size_text(point.spec, point.size), point.dtype(),
               training::name(point.training.rule) + std::string(point.training.graph ? ", graph" : ""),
               compared ? grouped(peak.peak_allocated) : "", compared ? grouped(peak.peak_reserved) : "",
               compared ? grouped(result.difference.bytes) : "skipped",
               compared ? first_place(result) : result.skipped});
  }
  const std::int64_t others = std::count_if(parity.points.begin(), parity.points.end(),
                                            [](const ParityResult& p) { return p.difference.bytes > 0; });
  page += table.text() + fmt::format("\n{} of {} points compared, {} with a difference\n", parity.compared(),
                                     parity.points.size(), others);
  return page + plans_text(parity);
}

}  // namespace mnemo::command
