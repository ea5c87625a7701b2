#include <algorithm>
#include <cstdlib>
#include <map>

#include <fmt/format.h>

#include "command/diff.h"
#include "command/numbers.h"
#include "command/table.h"

namespace mnemo::command {

namespace {

using memory::Bytes;

constexpr std::size_t kMostRows = 40;

/// Bytes per kind of cause, the largest first.
std::vector<std::pair<std::string, Bytes>> totals(const memory::Change& change) {
  std::vector<std::pair<std::string, Bytes>> sums;
  for (const memory::Cause& cause : change.causes) {
    const auto known =
        std::find_if(sums.begin(), sums.end(), [&](const auto& sum) { return sum.first == cause.cause; });
    if (known == sums.end())
      sums.emplace_back(cause.cause, cause.bytes);
    else
      known->second += cause.bytes;
  }
  std::stable_sort(sums.begin(), sums.end(),
                   [](const auto& a, const auto& b) { return std::abs(a.second) > std::abs(b.second); });
  return sums;
}

Json to_json(const memory::Change& change) {
  Json causes = Json::array();
  for (const memory::Cause& cause : change.causes) {
    causes.push_back(
        {{"cause", cause.cause}, {"where", cause.where}, {"bytes", cause.bytes}, {"evidence", cause.evidence}});
  }
  Json object{{"a", change.a}, {"b", change.b}, {"causes", std::move(causes)}};
  object["totals"] = Json::object();
  for (const auto& [cause, bytes] : totals(change)) object["totals"][cause] = bytes;
  return object;
}

std::string signed_number(Bytes bytes) { return (bytes > 0 ? "+" : "") + grouped(bytes); }
std::string signed_mebibytes(Bytes bytes) { return (bytes > 0 ? "+" : "") + mebibytes(bytes); }

std::string metric_table(const memory::Difference& d) {
  Table table({{"", Table::Align::left}, {"A"}, {"B"}, {"B - A"}, {"MiB"}});
  const auto add = [&](const char* what, const memory::Change& change) {
    table.add({what, grouped(change.a), grouped(change.b), signed_number(change.b - change.a),
               signed_mebibytes(change.b - change.a)});
  };
  add("peak allocated", d.peak_allocated);
  add("peak reserved", d.peak_reserved);
  add("device use", d.device_use);
  return table.text();
}

/// Device use has every cause of the other two figures.
std::string total_table(const memory::Difference& d) {
  Table table({{"by category", Table::Align::left}, {"bytes"}, {"MiB"}});
  for (const auto& [cause, bytes] : totals(d.device_use)) {
    if (bytes != 0) table.add({cause, signed_number(bytes), signed_mebibytes(bytes)});
  }
  table.add({"= device use", signed_number(d.device_use.b - d.device_use.a),
             signed_mebibytes(d.device_use.b - d.device_use.a)});
  return table.text();
}

std::string cause_table(const memory::Difference& d) {
  Table table(
      {{"bytes"}, {"MiB"}, {"cause", Table::Align::left}, {"where", Table::Align::left}, {"why", Table::Align::left}});
  const std::vector<memory::Cause>& causes = d.device_use.causes;
  Bytes rest = 0;
  for (std::size_t i = 0; i < causes.size(); ++i) {
    if (i < kMostRows) {
      table.add({signed_number(causes[i].bytes), signed_mebibytes(causes[i].bytes), causes[i].cause, causes[i].where,
                 causes[i].evidence});
    } else {
      rest += causes[i].bytes;
    }
  }
  if (causes.size() > kMostRows) {
    table.add({signed_number(rest), signed_mebibytes(rest), fmt::format("{} more", causes.size() - kMostRows), "",
               "all of them with --json"});
  }
  return table.text();
}

}  // namespace

Json to_json(const memory::Difference& d) {
  return {{"answer", d.answer},
          {"metrics",
           {{"peak_allocated", to_json(d.peak_allocated)},
            {"peak_reserved", to_json(d.peak_reserved)},
            {"device_use", to_json(d.device_use)}}}};
}

std::string text(const memory::Difference& d, const Subject& a, const Subject& b) {
  const auto line = [](const char* side, const Subject& subject) {
    const bool whole = subject.recording.dropped() == 0 && !subject.recording.truncated();
    return fmt::format("{}: {} on {}{}\n", side, memory::printable(subject.name),
                       memory::printable(subject.recording.header().device),
                       whole ? "" : "; this recording is not whole: it lacks its oldest events or its end");
  };
  std::string text = fmt::format("{}\n\n{}{}\n{}", d.answer, line("A", a), line("B", b), metric_table(d));
  if (d.device_use.causes.empty()) return text;
  text += fmt::format("\n{}\n{}", total_table(d), cause_table(d));
  const auto unknown = [](const Subject& subject) { return !subject.recording.header().context.has_value(); };
  if (unknown(a) || unknown(b)) text += "\nwhere context and libraries are unknown, they count as 0\n";
  return text;
}

}  // namespace mnemo::command
