// The rules that the source tree keeps, as functions of a tree: each returns one line for every place that breaks it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace architecture {

using Violations = std::vector<std::string>;

/// Includes point down: a layer includes itself and the layers below it, and examples only <mnemo/mnemo.h> and their
/// own files.
Violations forbidden_includes(const std::filesystem::path& root);

/// Public headers (outside of core/cpu, core/families and cuda/cudnn) name no library that users would have to install.
Violations leaking_headers(const std::filesystem::path& root);

/// No source file is longer than 400 lines.
Violations long_files(const std::filesystem::path& root);

/// What lies at the top level of a repository but has no place there; `entries` are names without folders.
Violations unexpected_entries(const std::vector<std::string>& entries);

}  // namespace architecture
