#include <mnemo/memory/report.h>

#include <ostream>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mnemo/memory/error.h>
#include <mnemo/memory/page/page_files.h>
#include <mnemo/memory/report_data.h>

namespace mnemo::memory {
namespace {

using Json = nlohmann::ordered_json;

void check(std::span<const ReportRun> runs, const ReportText& text) {
  if (runs.empty() || runs.size() > 2) {
    throw Error(fmt::format("[write_report] shows one recording or two, not {}", runs.size()));
  }
  for (const ReportSum& sum : text.sums) {
    Bytes total = sum.from;
    for (const ReportPart& part : sum.parts) total += part.bytes;
    if (total != sum.to) {
      throw Error(fmt::format("[write_report] {}: from {} the parts lead to {}, not to {} bytes", sum.title, sum.from,
                              total, sum.to));
    }
  }
  for (const ReportRun& run : runs) {
    for (const auto& row : run.layers.rows) {
      if (row.size() != run.layers.columns.size()) {
        throw Error(fmt::format("[write_report] a row of {} cells in a table of {} columns", row.size(),
                                run.layers.columns.size()));
      }
    }
  }
}

Json to_json(const RecordedPeak& peak) {
  return {{"event", peak.event}, {"bytes", peak.bytes}, {"categories", peak.categories}};
}

Json to_json(const ReportRun& run, const ReportData& data) {
  const RecordingHeader& header = run.recording.header();
  return {{"name", run.name},
          {"device", header.device},
          {"capacity", header.capacity},
          {"context", header.context ? Json(*header.context) : Json(nullptr)},
          {"allocator", header.allocator},
          {"timed", header.timed},
          {"metadata", header.metadata},
          {"dropped", run.recording.dropped()},
          {"truncated", run.recording.truncated()},
          {"events", run.recording.size()},
          {"initial", data.initial},
          {"peak", to_json(run.recording.peak())},
          {"peak_reserved", to_json(run.recording.peak_reserved())},
          {"end", {{"allocated", data.allocated}, {"reserved", data.reserved}, {"categories", data.categories}}},
          {"layers", {{"columns", run.layers.columns}, {"rows", run.layers.rows}}},
          {"texts", data.texts},
          {"tags", data.tags}};
}

Json to_json(const ReportText& text) {
  Json sums = Json::array();
  for (const ReportSum& sum : text.sums) {
    Json parts = Json::array();
    for (const ReportPart& part : sum.parts) {
      parts.push_back(
          {{"label", part.label}, {"bytes", part.bytes}, {"where", part.where}, {"evidence", part.evidence}});
    }
    sums.push_back({{"title", sum.title}, {"from", sum.from}, {"to", sum.to}, {"parts", parts}});
  }
  Json sweeps = Json::array();
  for (const ReportSweep& sweep : text.sweeps) {
    Json points = Json::array();
    for (const ReportPoint& point : sweep.points) {
      points.push_back({{"label", point.label},
                        {"allocated", point.allocated},
                        {"reserved", point.reserved},
                        {"fits", point.fits},
                        {"note", point.note}});
    }
    sweeps.push_back({{"title", sweep.title}, {"axis", sweep.axis}, {"capacity", sweep.capacity}, {"points", points}});
  }
  return {{"answer", text.answer}, {"sums", sums}, {"sweeps", sweeps}, {"footer", text.footer}};
}

template <class Enum>
Json names(int count) {
  Json list = Json::array();
  for (int i = 0; i < count; ++i) list.push_back(name(static_cast<Enum>(i)));
  return list;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

/// No name can end the script that it is in: a "<" is nowhere but in texts, where it has another spelling.
std::string in_script(const Json& json) {
  std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  replace_all(text, "<", "\\u003c");
  return text;
}

std::string escaped(std::string_view text) {
  std::string result(text);
  replace_all(result, "&", "&amp;");
  replace_all(result, "<", "&lt;");
  return result;
}

void write_data(std::ostream& out, std::span<const ReportRun> runs, const ReportText& text) {
  Json headers = Json::array();
  for (const ReportRun& run : runs) {
    const ReportData data(run.recording);
    for (const auto& [column, bytes] : data.columns) {
      out << fmt::format("<script type=\"text/plain\" id=\"run-{}-{}\">", headers.size(), column) << base64(bytes)
          << "</script>\n";
    }
    headers.push_back(to_json(run, data));
  }
  out << R"(<script type="application/json" id="data">)"
      << in_script({{"format", 1},
                    {"mnemo", std::string(page_files().version)},
                    {"categories", names<Category>(kCategories)},
                    {"phases", names<Phase>(kPhases)},
                    {"kinds", names<EventKind>(static_cast<int>(EventKind::marker) + 1)},
                    {"runs", headers},
                    {"text", to_json(text)}})
      << "</script>\n";
}

}  // namespace

void write_report(std::ostream& out, std::span<const ReportRun> runs, const ReportText& text) {
  check(runs, text);
  const PageFiles& files = page_files();
  std::string_view rest = files.frame;
  // The frame holds "<!-- NAME -->" where something is to be put in.
  for (std::size_t at; (at = rest.find("<!-- ")) != std::string_view::npos;) {
    out << rest.substr(0, at);
    const std::size_t end = rest.find(" -->", at);
    const std::string_view what = rest.substr(at + 5, end - at - 5);
    rest.remove_prefix(end + 4);
    if (what == "style") out << files.library_style << files.style;
    // Its last line names a file for debuggers, which a page that stands alone does not have.
    if (what == "library") out << files.library_script.substr(0, files.library_script.rfind("//# sourceMappingURL"));
    if (what == "licence") out << escaped(files.library_licence);
    if (what == "data") write_data(out, runs, text);
    if (what == "script") out << files.script;
  }
  out << rest;
}

}  // namespace mnemo::memory
