#include "command/output.h"

#include <cerrno>
#include <filesystem>
#include <iostream>
#include <system_error>

#include <fmt/format.h>

#include <unistd.h>

namespace mnemo::command {

void print_json(const Json& object) {
  // Names come from the command line and need not be valid UTF-8.
  std::cout << object.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
}

void print(const std::string& text) { std::cout << text << std::flush; }

void complain(const std::string& text) { std::cerr << "mnemo: " << text << std::endl; }

namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const char* option, const std::string& path, const std::string& reason) {
  throw OutputError(fmt::format("{}: {} cannot be written: {}", option, path, reason));
}

void check_access(const char* option, const std::string& path, const fs::path& what, int mode) {
  if (access(what.c_str(), mode) != 0)
    refuse(option, path, fmt::format("{}: {}", what.string(), std::generic_category().message(errno)));
}

}  // namespace

void check_writable(const char* option, const std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  fs::path file(path);
  if (fs::is_symlink(file, error)) file = fs::weakly_canonical(file, error);  // what it points to may not be there yet
  if (fs::is_directory(file, error)) refuse(option, path, "it is a folder");
  if (fs::exists(file, error)) return check_access(option, path, file, W_OK);
  const fs::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (!fs::exists(folder, error)) refuse(option, path, fmt::format("there is no folder {}", folder.string()));
  if (!fs::is_directory(folder, error)) refuse(option, path, fmt::format("{} is no folder", folder.string()));
  check_access(option, path, folder, W_OK | X_OK);
}

void check_folder(const char* option, const std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  fs::create_directories(path, error);
  if (!fs::is_directory(path)) {
    throw OutputError(fmt::format("{}: {} is no folder and cannot be made one{}", option, path,
                                  error ? ": " + error.message() : std::string()));
  }
  check_access(option, path, path, W_OK | X_OK);
}

}  // namespace mnemo::command
