#include "rules.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>

namespace architecture {
namespace {

namespace fs = std::filesystem;

// What each layer may include.
const std::map<std::string, std::set<std::string>> kBelow = {
    {"memory", {"memory"}},
    {"core", {"core", "memory"}},
    {"cuda", {"cuda", "core", "memory"}},
    {"autograd", {"autograd", "core", "memory"}},
    {"nn", {"nn", "autograd", "core", "memory"}},
    {"optim", {"optim", "autograd", "core", "memory"}},
    {"examples", {"examples", "mnemo.h"}},
};

const std::set<std::string> kTopLevel = {
    "CMakeLists.txt", "core",  "autograd",   "nn",        "optim",         "memory",       "cuda",
    "examples",       "tests", "benchmarks", "README.md", "LICENSE",       "CHANGELOG.md", "CMakePresets.json",
    "cmake",          "docs",  "run",        ".ci",       ".clang-format", ".clang-tidy",  ".gitignore"};

const std::regex kPrivateLibrary(
    R"((cuda|cudnn|cublas|curand|cufft|nccl|nvml|Eigen/|unsupported/Eigen/|spdlog/|fmt/|nlohmann/).*)");

constexpr int kLongest = 400;

struct Include {
  std::string path;
  bool quoted = false;
  int line = 0;
};

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<Include> includes_of(const fs::path& file) {
  static const std::regex directive(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
  std::vector<Include> includes;
  int number = 0;
  for (const std::string& line : lines_of(file)) {
    ++number;
    std::smatch match;
    if (std::regex_match(line, match, directive)) includes.push_back({match[2], match[1] == "\"", number});
  }
  return includes;
}

// Source files below root/folder, sorted.
std::vector<fs::path> sources(const fs::path& root, const std::string& folder) {
  static const std::set<std::string> kinds = {".h", ".cpp", ".cu", ".cuh"};
  std::vector<fs::path> files;
  if (!fs::is_directory(root / folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder))
    if (entry.is_regular_file() && kinds.contains(entry.path().extension().string())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::string place(const fs::path& root, const fs::path& file, int line) {
  return file.lexically_relative(root).generic_string() + ":" + std::to_string(line);
}

// The layer (or "mnemo.h") that an include leads to; empty for the standard library and other projects.
std::string target_of(const fs::path& root, const fs::path& file, const Include& include) {
  const fs::path path(include.path);
  const std::string first = path.begin()->string();
  if (first == "mnemo") return std::next(path.begin())->string();
  if (path.has_parent_path() && kBelow.contains(first)) return first;  // <memory> is the standard library's
  if (!include.quoted) return "";
  return (file.parent_path() / path).lexically_normal().lexically_relative(root).begin()->string();
}

}  // namespace

Violations forbidden_includes(const fs::path& root) {
  Violations found;
  for (const auto& [layer, below] : kBelow) {
    for (const fs::path& file : sources(root, layer)) {
      for (const Include& include : includes_of(file)) {
        const std::string target = target_of(root, file, include);
        if (!target.empty() && !below.contains(target))
          found.push_back(place(root, file, include.line) + ": " + layer + " includes " + target + " (" + include.path +
                          ")");
      }
    }
  }
  return found;
}

Violations leaking_headers(const fs::path& root) {
  Violations found;
  static const std::regex private_folder("(core/cpu|core/families|cuda/(cublas|cudnn|device|kernels))/.*");
  for (const char* layer : {"memory", "core", "cuda", "autograd", "nn", "optim"}) {
    for (const fs::path& file : sources(root, layer)) {
      const std::string name = file.lexically_relative(root).generic_string();
      if (file.extension() != ".h" || std::regex_match(name, private_folder)) continue;
      for (const Include& include : includes_of(file))
        if (std::regex_match(include.path, kPrivateLibrary))
          found.push_back(place(root, file, include.line) + ": a public header includes " + include.path);
    }
  }
  return found;
}

Violations long_files(const fs::path& root) {
  Violations found;
  for (const char* folder : {"memory", "core", "cuda", "autograd", "nn", "optim", "examples", "tests", "benchmarks"}) {
    for (const fs::path& file : sources(root, folder)) {
      const auto count = static_cast<int>(lines_of(file).size());
      if (count > kLongest)
        found.push_back(place(root, file, count) + ": more than " + std::to_string(kLongest) + " lines");
    }
  }
  return found;
}

Violations unexpected_entries(const std::vector<std::string>& entries) {
  Violations found;
  for (const std::string& entry : entries)
    if (!kTopLevel.contains(entry)) found.push_back(entry + ": has no place at the top level");
  return found;
}

}  // namespace architecture
