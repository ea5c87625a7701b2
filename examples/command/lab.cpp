// mnemo lab: claims about memory, predicted, measured and judged.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

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

std::string text(const Row& row) {
  Table table({{"", Table::Align::left}, {"predicted"}, {"measured"}, {"", Table::Align::left}});
  for (const Figure& figure : row.figures) {
    table.add({figure.name, figure.predicted ? grouped(*figure.predicted) : "-", grouped(figure.measured),
               figure.agrees() ? "" : "differs from the prediction"});
  }
  return fmt::format("{}  {}\n\n{}\n    verdict: {}: {}\n    why: {}\n\n", row.claim, row.statement, table.text(4),
                     labs::name(row.verdict), row.because, row.mechanism);
}

int show(const Lab& lab, const std::string& device, bool json) {
  const std::vector<Row> rows = lab.run(device);
  const bool agrees = std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.agrees(); });
  if (json) {
    Json list = Json::array();
    for (const Row& row : rows) list.push_back(to_json(row));
    print_json({{"lab", lab.name}, {"device", device}, {"agrees", agrees}, {"rows", list}});
  } else {
    std::string page = fmt::format("lab {} on {}; bytes unless a line says otherwise\n\n", lab.name, device);
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
    const auto device = std::make_shared<std::string>("cpu");
    const auto json = std::make_shared<bool>(false);
    one->add_option("--device", *device, "As for `mnemo step`. (cpu)");
    one->add_flag("--json", *json, "One JSON object on stdout.");
    one->callback(
        [&action, &lab, device, json] { action = [&lab, device, json] { return show(lab, *device, *json); }; });
  }
}

}  // namespace mnemo::command
