// The log of the fuzzers, who would fill a disk with it.
#include <mnemo/memory/log.h>

namespace mnemo::memory {

void log_info(const std::string&) {}
void log_warning(const std::string&) {}

}  // namespace mnemo::memory
