// What `mnemo explain` says about one recording.
#pragma once

#include <string>

#include <mnemo/mnemo.h>

#include "command/output.h"
#include "command/specification.h"

namespace mnemo::command {

/// The categories that hold anything, by name.
Json categories_json(const memory::CategoryBytes& categories);
/// What the recording says about itself.
Json about_json(const memory::RecordingHeader& header);

Json to_json(const memory::Explanation& explanation);
/// The same as a page of text.
std::string text(const memory::Explanation& explanation, const Subject& subject);

}  // namespace mnemo::command
