// Reading a whole file into memory. Private to this folder.
#pragma once

#include <string>

namespace mnemo::memory {

/// The bytes of a regular file; throws FileError for anything else (a device or a pipe may have no end).
std::string read_whole_file(const std::string& path);

}  // namespace mnemo::memory
