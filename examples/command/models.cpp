// mnemo models: the zoo.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/numbers.h"
#include "command/output.h"
#include "command/table.h"
#include "models/registry.h"

namespace mnemo::command {

namespace {

int show(bool json) {
  Json list = Json::array();
  Table table({{"model", Table::Align::left},
               {"parameters"},
               {"batch"},
               {"size"},
               {"sizes", Table::Align::left},
               {"input", Table::Align::left},
               {"what it is", Table::Align::left}});
  for (const models::Spec& spec : models::specs()) {
    const std::int64_t parameters = models::parameter_count(spec);
    const Shape input = spec.input_shape(spec.batch, spec.size);
    list.push_back({{"name", spec.name},
                    {"description", spec.description},
                    {"parameters", parameters},
                    {"batch", spec.batch},
                    {"size", spec.size},
                    {"sizes", spec.sizes.text()},
                    {"input", std::vector<std::int64_t>(input.begin(), input.end())}});
    table.add({spec.name, grouped(parameters), fmt::format("{}", spec.batch), fmt::format("{}", spec.size),
               spec.sizes.text(), input.text(), spec.description});
  }
  if (json)
    print_json({{"models", list}});
  else
    print(table.text());
  return fine;
}

}  // namespace

void add_models(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("models", "The models, with their parameters and the sizes that they take.");
  const auto json = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "One JSON object on stdout.");
  verb->callback([&action, json] { action = [json] { return show(*json); }; });
}

}  // namespace mnemo::command
