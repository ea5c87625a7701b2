// Pages of runs: what --report of several verbs, and `mnemo report`, write.
#pragma once

#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "command/command.h"

namespace mnemo::command {

/// Adds --report.
void add_page_option(CLI::App& verb, std::string& path);

/// Writes the page of one run, or of two side by side: their layers as `mnemo explain` has them, and of two what
/// changed, as `mnemo diff` says it. `text` may bring more. Throws OutputError.
void write_page(const std::string& path, std::vector<memory::ReportRun> runs, memory::ReportText text = {});

}  // namespace mnemo::command
