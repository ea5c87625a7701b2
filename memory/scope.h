// A named part of a program: what is allocated in it carries the name.
#pragma once

#include <string_view>

#include <mnemo/memory/tag.h>

namespace mnemo::memory {

/// Until the end of the C++ scope, what this thread allocates belongs to the module `name`, below the one that is
/// current: `const auto scope = memory::scope("augment");`. Modules that run in it keep their own names. `name` is
/// copied; an empty one changes nothing.
[[nodiscard]] ModuleScope scope(std::string_view name);

}  // namespace mnemo::memory
