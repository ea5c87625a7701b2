// "Did you mean": the known name that is nearest to a wrong one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mnemo::command {

/// " (did you mean vgg16?)", or nothing when no name is near.
std::string suggestion(std::string_view given, const std::vector<std::string>& known);

}  // namespace mnemo::command
