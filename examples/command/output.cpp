#include "command/output.h"

#include <cerrno>
#include <filesystem>
#include <iostream>
#include <system_error>

#include <fmt/format.h>

#include <unistd.h>

#include "command/command.h"

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

void check_outputs(const std::vector<Output>& outputs, const std::vector<std::string>& inputs) {
  // Of files that are not there yet, equal paths are all that can be seen; devices such as /dev/null take everything.
  const auto same = [](const std::string& a, const std::string& b) {
    std::error_code error;
    if (!fs::exists(a, error)) return fs::weakly_canonical(a, error) == fs::weakly_canonical(b, error);
    return fs::is_regular_file(a, error) && fs::equivalent(a, b, error);
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [option, path] = outputs[i];
    if (path.empty()) continue;
    for (const std::string& input : inputs) {
      if (!input.empty() && same(path, input))
        throw UsageError(fmt::format("{}: {} is read as well: give another file", option, path));
    }
    for (std::size_t k = 0; k < i; ++k) {
      if (!outputs[k].path.empty() && same(path, outputs[k].path))
        throw UsageError(fmt::format("{} and {} name the same file, {}", outputs[k].option, option, path));
    }
    check_writable(option, path);
  }
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
