// What the verbs of the `mnemo` command share: exit codes, usage errors, the verbs themselves.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace CLI {
class App;  // known by its name alone: what it is takes seconds to compile
}

namespace mnemo::command {

enum ExitCode : int { fine = 0, failed = 1, usage = 2, out_of_memory = 3, skipped = 77 };

/// The command was called wrongly; the text says how it should be. Ends in exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What to do for the verb that was given; returns the exit code.
using Action = std::function<int()>;

// Each adds its verb to the command line and sets `action` when that verb is given.
void add_devices(CLI::App& app, Action& action);
void add_models(CLI::App& app, Action& action);
void add_step(CLI::App& app, Action& action);
void add_plans(CLI::App& app, Action& action);
void add_cliffs(CLI::App& app, Action& action);
void add_sweep(CLI::App& app, Action& action);
void add_fit(CLI::App& app, Action& action);
void add_parity(CLI::App& app, Action& action);
void add_tabulate(CLI::App& app, Action& action);
void add_replay(CLI::App& app, Action& action);
void add_tune_allocator(CLI::App& app, Action& action);
void add_export(CLI::App& app, Action& action);
void add_import(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_diff(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_lab(CLI::App& app, Action& action);

}  // namespace mnemo::command
