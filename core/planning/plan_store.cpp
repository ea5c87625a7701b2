#include <mnemo/core/planning/plan_store.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>

#include <fmt/format.h>

#include <mnemo/core/file_replacement.h>
#include <mnemo/core/planning/plan_file.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/log.h>

namespace mnemo {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVersionPrefix = "cudnn-";
constexpr std::string_view kSuffix = ".plans";

/// Warns unless it did so before of the same thing.
void warn_once(const std::string& what, const std::string& text) {
  // Never destroyed: tables may be saved when the process ends.
  static std::mutex& mutex = *new std::mutex;
  static std::set<std::string>& known = *new std::set<std::string>;
  const std::lock_guard lock(mutex);
  if (known.insert(what).second) memory::log_warning(text);
}

/// Whether it may become part of a path: versions and cards come from device strings.
bool is_name(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.size() < 100 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string_view::npos;
}

/// "" if nothing is kept.
fs::path file_of(std::string_view version, std::string_view card) {
  const fs::path folder = plan_store_folder();
  if (folder.empty() || !is_name(version) || !is_name(card)) return {};
  return folder / fmt::format("{}{}", kVersionPrefix, version) / fmt::format("{}{}", card, kSuffix);
}

/// Nothing if there is no such file. Throws FileError.
std::optional<std::string> contents(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    if (fs::exists(path, error)) throw FileError(path.string() + ": not a file");
    return std::nullopt;
  }
  constexpr std::uintmax_t kMost = std::uintmax_t{1} << 28;
  if (fs::file_size(path, error) > kMost) throw FileError(path.string() + ": larger than a plan file gets");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw FileError(path.string() + ": cannot be opened for reading");
  std::string bytes;
  for (std::array<char, 1 << 16> chunk; stream; bytes.append(chunk.data(), static_cast<std::size_t>(stream.gcount())))
    stream.read(chunk.data(), chunk.size());
  if (stream.bad()) throw FileError(path.string() + ": cannot be read");
  return bytes;
}

PlanTable read(const fs::path& path, const std::string& version, const std::string& card) {
  try {
    if (const auto bytes = contents(path)) {
      auto table = decode_card(*bytes, path.string(), card);
      if (!table || table->version() != version) {
        throw FileError(fmt::format("{}: not the table of {} with cuDNN {}", path.string(), card, version));
      }
      return std::move(*table);
    }
  } catch (const FileError& error) {
    warn_once(path.string(),
              fmt::format("{}; it is ignored, and replaced by the next one that is saved", error.what()));
  }
  return {version, card};
}

void replace(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  FileReplacement file(path);
  file.stream().write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (const std::error_code error = file.put_in_place()) throw fs::filesystem_error("cannot be written", path, error);
}

}  // namespace

fs::path plan_store_folder() {
  if (const char* folder = std::getenv("MNEMO_CACHE_DIR")) return *folder ? fs::path(folder) / "plans" : fs::path();
  // The XDG specification: what is not absolute is as not set.
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache && *cache == '/') return fs::path(cache) / "mnemo" / "plans";
  const char* home = std::getenv("HOME");
  if (home && *home) return fs::path(home) / ".cache" / "mnemo" / "plans";
  return {};
}

std::vector<std::string> stored_versions(std::string_view card) {
  std::vector<std::string> versions;
  const fs::path folder = plan_store_folder();
  if (folder.empty()) return versions;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kVersionPrefix)) continue;
    std::string version = name.substr(kVersionPrefix.size());
    const fs::path file = file_of(version, card);
    std::error_code absent;
    if (!file.empty() && fs::is_regular_file(file, absent)) versions.push_back(std::move(version));
  }
  return versions;
}

PlanTable load_plans(const std::string& version, const std::string& card) {
  const fs::path path = file_of(version, card);
  return path.empty() ? PlanTable(version, card) : read(path, version, card);
}

void save_plans(const PlanTable& table) noexcept try {
  const fs::path path = file_of(table.version(), table.card());
  if (path.empty()) return;
  PlanTable all = read(path, table.version(), table.card());
  all.merge(table);
  replace(path, encode({&all, 1}));
} catch (const std::exception& error) {
  warn_once(plan_store_folder().string(),
            fmt::format("what cuDNN answered is not kept for the next time: {}", error.what()));
}

}  // namespace mnemo
