// mnemo tabulate: asks the cuDNN of this machine what it decides for the zoo, and writes the table that mnemo ships.
#include <algorithm>
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command/command.h"
#include "command/output.h"
#include "models/usual_workloads.h"

namespace mnemo::command {

namespace {

/// Every card that the library can be asked about, under its first name.
std::vector<std::string> askable_cards() {
  std::vector<std::string> names;
  for (const Card& card : cards()) {
    std::string reason;
    const std::string first = first_name(card);
    if (std::ranges::find(names, first) == names.end() && open_conv_planner(first, reason)) names.push_back(first);
  }
  return names;
}

int show(const std::string& path) {
  check_writable("FILE", path);  // asking takes minutes
  const std::vector<std::string> names = askable_cards();
  if (names.empty()) {
    std::string reason;
    open_conv_planner(first_name(cards().front()), reason);
    throw DeviceError(fmt::format("[tabulate] the library cannot be asked: {}", reason));
  }
  const std::vector<ConvQuery> queries = models::usual_conv_queries();
  complain(fmt::format("{} convolutions, {} cards", queries.size(), names.size()));
  const std::string bytes = tabulate(names, queries, [](const std::string& card) { complain(card); });
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  if (!file.flush()) throw OutputError(fmt::format("{}: cannot be written", path));
  print(fmt::format("{}: {} convolutions, {} cards, {} bytes\n", path, queries.size(), names.size(), bytes.size()));
  return fine;
}

}  // namespace

void add_tabulate(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand(
      "tabulate", "Write what this machine's cuDNN decides for the zoo on every card: the table that mnemo ships.");
  const auto path = std::make_shared<std::string>();
  verb->add_option("FILE", *path, "To be written, such as core/planning/tables/cudnn-9.19.0.plans.")->required();
  verb->callback([&action, path] { action = [path] { return show(*path); }; });
}

}  // namespace mnemo::command
