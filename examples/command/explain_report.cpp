#include <fmt/format.h>

#include "command/explain.h"
#include "command/numbers.h"
#include "command/table.h"

namespace mnemo::command {

namespace {

using memory::printable;

Json to_json(const memory::LayerRow& row) {
  Json plans = Json::array();
  for (const memory::PlanNote& plan : row.plans)
    plans.push_back({{"pass", plan.pass}, {"algorithm", plan.algorithm}, {"workspace", plan.workspace}});
  return {{"module", row.module},          {"op", row.op},
          {"output", row.output.shape},    {"dtype", row.output.dtype},
          {"parameters", row.parameters},  {"saved", row.saved},
          {"workspace", row.workspace},    {"algorithm", row.algorithm},
          {"formula", row.output.formula}, {"measured", row.output.measured},
          {"at_peak", row.at_peak},        {"plans", std::move(plans)}};
}

Json to_json(const memory::LongBlock& entry) {
  return {{"bytes", entry.block.size},
          {"requested", entry.block.requested},
          {"category", memory::name(entry.block.tag.category)},
          {"module", entry.module},
          {"op", entry.op},
          {"step", entry.block.tag.step},
          {"from", entry.block.since},
          {"until", entry.until < 0 ? Json(nullptr) : Json(entry.until)},
          {"phases", {memory::name(entry.made), memory::name(entry.freed)}}};
}

Json to_json(const memory::HeldSteps& held) {
  if (held.bytes == 0) return nullptr;
  return {{"bytes", held.bytes}, {"step", held.step},     {"first", held.first}, {"last", held.last},
          {"count", held.count}, {"module", held.module}, {"op", held.op}};
}

Json moment_json(const memory::Account& account) {
  return {{"event", account.event},
          {"step", account.step},
          {"phase", memory::name(account.phase)},
          {"module", account.module},
          {"op", account.op}};
}

/// "batch 8, size 224, float32, sgd"
std::string about_text(const memory::RecordingHeader& header) {
  std::string text;
  for (const auto& [key, value] : header.metadata) {
    if (key == "command" || value.empty()) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", printable(key), printable(value));
  }
  return text;
}

std::string sum_table(const memory::Explanation& e) {
  Table table({{"at the peak", Table::Align::left}, {"bytes"}, {"MiB"}, {"of it rounding"}});
  memory::CategoryBytes rounding{};
  for (const auto& [holder, held] : e.peak.holders)
    rounding[static_cast<std::size_t>(holder.category)] += held.bytes - held.requested;
  const auto add = [&](const char* what, memory::Bytes bytes, std::string more = {}) {
    table.add({what, grouped(bytes), mebibytes(bytes), std::move(more)});
  };
  for (std::size_t i = 0; i < rounding.size(); ++i) {
    if (e.peak.categories[i] == 0) continue;
    add(memory::words(static_cast<memory::Category>(i)), e.peak.categories[i], grouped(rounding[i]));
  }
  add("= allocated", e.peak.allocated, grouped(e.peak.rounding()));
  add("cached", e.peak.cached());
  add("= reserved at that moment", e.peak.reserved);
  if (e.peak_reserved.reserved != e.peak.reserved)
    add("reserved for other moments", e.peak_reserved.reserved - e.peak.reserved);
  add("= most reserved", e.peak_reserved.reserved);
  add(e.context_known ? "context and libraries" : "context and libraries (unknown)", e.context);
  add("= device use", e.device_use());
  return table.text();
}

std::string measured_text(const memory::OutputNote& output) {
  if (output.formula.empty() || output.measured == 0) return output.formula;
  return fmt::format("{}, block {}", output.formula, grouped(output.measured));
}

std::string layer_table(const memory::Explanation& e) {
  Table table({{"module", Table::Align::left},
               {"op", Table::Align::left},
               {"output", Table::Align::left},
               {"parameters"},
               {"saved"},
               {"workspace"},
               {"at the peak"},
               {"algorithm", Table::Align::left},
               {"output's bytes", Table::Align::left}});
  const auto bytes = [](memory::Bytes number) { return number == 0 ? std::string() : grouped(number); };
  for (const memory::LayerRow& row : e.layers) {
    table.add({printable(row.module), printable(row.op), printable(row.output.shape), bytes(row.parameters),
               bytes(row.saved), bytes(row.workspace), bytes(row.at_peak), printable(row.algorithm),
               measured_text(row.output)});
  }
  return table.text();
}

std::string life_text(const memory::LongBlock& entry) {
  const std::string from = entry.block.since < 0 ? "before the recording" : fmt::format("event {}", entry.block.since);
  const std::string until = entry.until < 0 ? "the end" : fmt::format("{}", entry.until);
  const char* made = memory::name(entry.made);
  const char* freed = memory::name(entry.freed);
  return fmt::format("{} to {}, {}", from, until,
                     entry.made == entry.freed ? made : fmt::format("{} to {}", made, freed));
}

std::string largest_table(const memory::Explanation& e) {
  Table table({{"largest blocks"},
               {"MiB"},
               {"what", Table::Align::left},
               {"of", Table::Align::left},
               {"alive", Table::Align::left}});
  for (const memory::LongBlock& entry : e.largest) {
    table.add({grouped(entry.block.size), mebibytes(entry.block.size), memory::words(entry.block.tag.category),
               memory::where(entry.module, entry.op), life_text(entry)});
  }
  return table.text();
}

std::string advice_text(const memory::Explanation& e) {
  if (e.advice.empty()) return {};
  std::string text = "\nwhat would lower it most, each alone\n";
  for (const memory::Advice& one : e.advice) {
    text += fmt::format("  {:>16} of {}: {}: {}\n", (one.measured ? "" : "about ") + memory::signed_bytes(-one.bytes),
                        one.metric == "peak_reserved" ? "reserved" : "allocated", one.action, one.evidence);
  }
  return text;
}

}  // namespace

Json categories_json(const memory::CategoryBytes& categories) {
  Json object = Json::object();
  for (std::size_t i = 0; i < categories.size(); ++i) {
    if (categories[i] > 0) object[memory::name(static_cast<memory::Category>(i))] = categories[i];
  }
  return object;
}

Json about_json(const memory::RecordingHeader& header) {
  Json object{{"device", header.device}, {"capacity", header.capacity}, {"allocator", header.allocator}};
  for (const auto& [key, value] : header.metadata) object[key] = value;
  return object;
}

Json to_json(const memory::Explanation& e) {
  Json layers = Json::array();
  for (const memory::LayerRow& row : e.layers) layers.push_back(to_json(row));
  Json largest = Json::array();
  for (const memory::LongBlock& entry : e.largest) largest.push_back(to_json(entry));
  Json advice = Json::array();
  for (const memory::Advice& one : e.advice) {
    advice.push_back({{"action", one.action},
                      {"metric", one.metric},
                      {"bytes", one.bytes},
                      {"evidence", one.evidence},
                      {"measured", one.measured}});
  }
  return {{"answer", memory::paragraph(e)},
          {"peak_allocated", e.peak.allocated},
          {"peak_reserved", e.peak_reserved.reserved},
          {"device_use", e.device_use()},
          {"categories", categories_json(e.peak.categories)},
          {"cached", e.peak_reserved.reserved - e.peak.allocated},
          {"cached_at_peak", e.peak.cached()},
          {"rounding", e.peak.rounding()},
          {"context", e.context},
          {"context_known", e.context_known},
          {"peak", moment_json(e.peak)},
          {"whole", e.whole},
          {"held_steps", to_json(e.held_steps)},
          {"layers", std::move(layers)},
          {"largest", std::move(largest)},
          {"advice", std::move(advice)},
          {"about", about_json(e.header)}};
}

std::string text(const memory::Explanation& e, const Subject& subject) {
  std::string text = fmt::format("{} on {}\n", printable(subject.name), printable(e.header.device));
  const std::string about = about_text(e.header);
  if (!about.empty()) text += about + '\n';
  text += fmt::format("\n{}\n\n{}", memory::paragraph(e), sum_table(e));
  if (e.peak.allocated == 0) return text;
  text += fmt::format("\n{}\n{}{}", layer_table(e), largest_table(e), advice_text(e));
  if (subject.estimated_workspaces > 0) {
    text += fmt::format(
        "\nworkspace estimated: {} convolution passes were "
        "taken to need none on this card\n",
        grouped(subject.estimated_workspaces));
  }
  return text;
}

}  // namespace mnemo::command
