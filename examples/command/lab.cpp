// mnemo lab: claims about memory, predicted, measured and judged.
#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/numbers.h"
#include "command/output.h"
#include "command/table.h"
#include "labs/row.h"

namespace mnemo::command {

namespace {

using labs::Figure;
using labs::Lab;
using labs::Row;

Json to_json(const Row& row) {
  Json prediction = Json::object(), measured = Json::object();
  for (const Figure& figure : row.figures) {
    if (figure.predicted) prediction[figure.name] = *figure.predicted;
    measured[figure.name] = figure.measured;
  }
  return {{"claim", row.claim},     {"statement", row.statement}, {"prediction", prediction},
          {"measured", measured},   {"agrees", row.agrees()},     {"verdict", labs::name(row.verdict)},
          {"because", row.because}, {"mechanism", row.mechanism}};
}

/// A paragraph in lines of at most 110 characters; all but the first are indented.
std::string wrap(const std::string& text, std::size_t indent) {
  constexpr std::size_t kWidth = 110;
  std::string lines, line;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && line.size() + 1 + word.size() > kWidth) {
      lines += line + '\n';
      line = std::string(indent, ' ') + word;
    } else {
      line += (at == 0 ? "" : " ") + word;
    }
    at = end + 1;
  }
  return lines + line + '\n';
}

std::string text(const Row& row) {
  Table table({{"", Table::Align::left}, {"predicted"}, {"measured"}, {"", Table::Align::left}});
  for (const Figure& figure : row.figures) {
    table.add({figure.name, figure.predicted ? grouped(*figure.predicted) : "-", grouped(figure.measured),
               figure.agrees() ? "" : "differs from the prediction"});
  }
  const std::string verdict = fmt::format("    verdict: {}: {}", labs::name(row.verdict), row.because);
  return wrap(row.claim + "  " + row.statement, row.claim.size() + 2) + '\n' + table.text(4) + '\n' +
         wrap(verdict, 13) + wrap("    why: " + row.mechanism, 9) + '\n';
}

struct LabOptions {
  std::string device = "cpu";
  std::string record;  ///< a folder, or empty
  bool json = false;
};

/// Runs the lab, recorded if there is a folder for that.
std::vector<Row> run(const Lab& lab, const std::string& device, const std::string& folder) {
  if (folder.empty()) return lab.run(device);
  check_folder("--record", folder);
  return writing([&] {
    labs::RecordedDevices devices(folder, lab.name);
    std::vector<Row> rows = lab.run(device);
    complain(fmt::format("{} recordings in {}", devices.finish().size(), folder));
    return rows;
  });
}

int show(const Lab& lab, const LabOptions& options) {
  const std::string device = lab.place(options.device);
  const std::string decisions = Device::open(device, {}).backend().decisions().source();
  const std::vector<Row> rows = run(lab, device, options.record);
  const bool agrees = std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.agrees(); });
  if (options.json) {
    Json list = Json::array();
    for (const Row& row : rows) list.push_back(to_json(row));
    print_json({{"lab", lab.name}, {"device", device}, {"decisions", decisions}, {"agrees", agrees}, {"rows", list}});
  } else {
    std::string page = fmt::format("lab {} on {}, decisions of {}; bytes unless a line says otherwise\n\n", lab.name,
                                   device, decisions);
    for (const Row& row : rows) page += text(row);
    Table verdicts({{"claim", Table::Align::left}, {"verdict", Table::Align::left}, {"statement", Table::Align::left}});
    for (const Row& row : rows) verdicts.add({row.claim, labs::name(row.verdict), row.statement});
    print(page + verdicts.text());
  }
  if (!agrees) complain("a measurement differs from its prediction");
  return agrees ? fine : failed;
}

}  // namespace

void add_lab(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("lab", "Claims about memory: prediction, measurement, verdict.");
  verb->require_subcommand(1);
  for (const Lab& lab : labs::labs()) {
    CLI::App* one = verb->add_subcommand(lab.name, lab.description);
    const auto options = std::make_shared<LabOptions>();
    one->add_option("--device", options->device, "As for `mnemo step`. (cpu)");
    one->add_option("--record", options->record,
                    "Also write what happens to memory to this folder: a file per device that the lab opens.");
    one->add_flag("--json", options->json, "One JSON object on stdout.");
    one->callback([&action, &lab, options] { action = [&lab, options] { return show(lab, *options); }; });
  }
}

}  // namespace mnemo::command
