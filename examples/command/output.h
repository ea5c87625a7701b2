// Where results go: standard output, as JSON or as text. Everything else is for standard error.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace mnemo::command {

/// Keys in the order in which they were put in.
using Json = nlohmann::ordered_json;

/// The one object of `--json`.
void print_json(const Json& object);
void print(const std::string& text);
/// To standard error, with the command's name before it.
void complain(const std::string& text);

}  // namespace mnemo::command
