// mnemo's log: to standard error, so that results on standard output stay clean. MNEMO_LOG sets the level.
#pragma once

#include <string>

namespace mnemo::memory {

/// For what a user may want to know.
void log_info(const std::string& text);
/// For what a user should change.
void log_warning(const std::string& text);

}  // namespace mnemo::memory
