// What `mnemo diff` says about two recordings.
#pragma once

#include <string>

#include <mnemo/mnemo.h>

#include "command/output.h"
#include "command/specification.h"

namespace mnemo::command {

Json to_json(const memory::Difference& difference);
/// The same as a page of text.
std::string text(const memory::Difference& difference, const Subject& a, const Subject& b);

}  // namespace mnemo::command
