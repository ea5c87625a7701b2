#include <mnemo/memory/whole_file.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <mnemo/memory/error.h>

namespace mnemo::memory {

std::string read_whole_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw FileError(path + ": is no file that can be read");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::string bytes(file ? static_cast<std::size_t>(std::max<std::streamoff>(file.tellg(), 0)) : 0, '\0');
  file.seekg(0);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw FileError(path + ": cannot be read");
  return bytes;
}

}  // namespace mnemo::memory
