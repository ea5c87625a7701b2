// The `mnemo` command: reads the command line, runs a verb, and turns errors into exit codes.
#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/output.h"
#include "command/suggestion.h"

namespace mnemo::command {

namespace {

/// The verb that the arguments begin with ("step", or "lab" with "batch-size"), and the first word that is none.
struct Place {
  const CLI::App* verb;
  std::string unknown;
};

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

Place place_of(const CLI::App& app, int argc, char** argv) {
  Place place{&app, {}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const std::vector<const CLI::App*> verbs = verbs_of(*place.verb);
    if (verbs.empty()) break;
    if (word.starts_with('-')) continue;
    const auto next =
        std::find_if(verbs.begin(), verbs.end(), [word](const CLI::App* verb) { return verb->get_name() == word; });
    if (next == verbs.end()) return {place.verb, std::string(word)};
    place.verb = *next;
  }
  return place;
}

std::string full_name(const CLI::App& verb) {
  const CLI::App* parent = verb.get_parent();
  return parent == nullptr ? verb.get_name() : full_name(*parent) + " " + verb.get_name();
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : verbs_of(app)) names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

/// What the parser's error means, with the name that was probably meant.
std::string explain(const CLI::ParseError& error, const Place& place, int argc, char** argv) {
  if (!place.unknown.empty()) {
    return fmt::format("\"{}\" is not one of {}{}", place.unknown, fmt::join(verb_names(*place.verb), ", "),
                       suggestion(place.unknown, verb_names(*place.verb)));
  }
  const std::vector<std::string> known = option_names(*place.verb);
  for (int i = 1; i < argc; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string_view(argv[i]).find('='));
    const bool is_option = word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9');  // "-1" is a value
    if (!is_option || std::find(known.begin(), known.end(), word) != known.end()) continue;
    return fmt::format("unknown option {}{}", word, suggestion(word, known));
  }
  return error.what();
}

int refuse(const std::string& text, const CLI::App& verb) {
  complain(fmt::format("{}\nsee: {} --help", text, full_name(verb)));
  return usage;
}

int run(int argc, char** argv) {
  CLI::App app("Trains models on a CPU, a GPU or a virtual device, and says who holds every byte.", "mnemo");
  app.set_version_flag("--version", "mnemo " MNEMO_VERSION, "Print the version and exit");
  app.require_subcommand(1);
  Action action;
  add_devices(app, action);
  add_models(app, action);
  add_step(app, action);
  add_plans(app, action);
  add_cliffs(app, action);
  add_sweep(app, action);
  add_fit(app, action);
  add_parity(app, action);
  add_explain(app, action);
  add_diff(app, action);
  add_lab(app, action);
  add_replay(app, action);
  add_tune_allocator(app, action);
  add_export(app, action);
  add_import(app, action);
  add_report(app, action);
  add_tabulate(app, action);
  const Place place = place_of(app, argc, argv);
  try {
    app.parse(argc, argv);
    const int code = action();
    if (std::cout.flush()) return code;
    complain("stdout cannot be written");
    return code == fine ? failed : code;
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return refuse(explain(error, place, argc, argv), *place.verb);
  } catch (const UsageError& error) {
    return refuse(error.what(), *place.verb);
  } catch (const ConfigError& error) {
    return refuse(error.what(), *place.verb);
  } catch (const DeviceError& error) {
    return refuse(error.what(), *place.verb);
  } catch (const FileError& error) {
    return refuse(error.what(), *place.verb);
  } catch (const OutOfMemory& error) {
    complain(error.what());
    return out_of_memory;
  } catch (const std::exception& error) {
    complain(error.what());
    return failed;
  }
}

}  // namespace

}  // namespace mnemo::command

int main(int argc, char** argv) { return mnemo::command::run(argc, argv); }
