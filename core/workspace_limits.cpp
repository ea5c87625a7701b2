#include <mnemo/core/workspace_limits.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/error.h>

namespace mnemo {

namespace {

using memory::Bytes;

/// In the largest unit of which it is a multiple, so that nothing is lost.
std::string exact(Bytes bytes) {
  if (bytes == 0) return "0";
  for (const auto& [unit, name] : {std::pair{memory::GiB, "GiB"}, {memory::MiB, "MiB"}, {memory::KiB, "KiB"}}) {
    if (bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
  }
  return fmt::format("{}", bytes);
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw ConfigError(fmt::format(
      "workspace limits \"{}\": {}; write SIZE for everything and PATH=SIZE for a layer and all below it, with commas "
      "between, as in 64MiB,layer3=0,layer4.0.conv1=8MiB",
      text, why));
}

bool is_path(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos &&
         text.find_first_of(" \t\n") == std::string_view::npos;
}

Bytes read_size(std::string_view text, std::string_view size) {
  if (size == "0") return 0;
  try {
    return memory::parse_bytes(size);
  } catch (const ConfigError&) {
    refuse(text, fmt::format("\"{}\" is no size", size));
  }
}

}  // namespace

WorkspaceLimits::WorkspaceLimits(const ByPath& by_path) {
  for (const auto& [path, limit] : by_path) set(path, limit);
}

std::optional<Bytes> WorkspaceLimits::of(std::string_view module) const {
  if (by_path_.empty()) return std::nullopt;
  for (;;) {
    if (const auto found = by_path_.find(module); found != by_path_.end()) return found->second;
    if (module.empty()) return std::nullopt;
    const std::size_t dot = module.rfind('.');
    module = dot == std::string_view::npos ? std::string_view() : module.substr(0, dot);
  }
}

void WorkspaceLimits::set(std::string_view path, Bytes limit) {
  if (limit < 0) throw ConfigError(fmt::format("a workspace limit of {} bytes is none; it is at least 0", limit));
  by_path_.insert_or_assign(std::string(path), limit);
}

void WorkspaceLimits::erase(std::string_view path) {
  if (const auto found = by_path_.find(path); found != by_path_.end()) by_path_.erase(found);
}

std::string WorkspaceLimits::text() const {
  std::string text;
  for (const auto& [path, limit] : by_path_) {
    if (!text.empty()) text += ',';
    if (!path.empty()) text += path + '=';
    text += exact(limit);
  }
  return text;
}

WorkspaceLimits both(const WorkspaceLimits& a, const WorkspaceLimits& b) {
  // No path of either stands between a layer and the nearest path of the two: what holds there holds for the layer.
  WorkspaceLimits limits;
  const auto take = [&](const WorkspaceLimits& from) {
    for (const auto& [path, limit] : from.by_path())
      limits.set(path, std::min(a.of(path).value_or(limit), b.of(path).value_or(limit)));
  };
  take(a);
  take(b);
  return limits;
}

WorkspaceLimits parse_workspace_limits(std::string_view text) {
  WorkspaceLimits limits;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view item = text.substr(begin, end - begin);
    const std::size_t equal = item.find('=');
    const std::string_view path = equal == std::string_view::npos ? std::string_view() : item.substr(0, equal);
    if (equal != std::string_view::npos && !is_path(path)) refuse(text, fmt::format("\"{}\" is no path", path));
    if (limits.by_path().contains(path))
      refuse(text, path.empty() ? std::string("two limits for everything") : fmt::format("two limits for {}", path));
    limits.set(path, read_size(text, equal == std::string_view::npos ? item : item.substr(equal + 1)));
    begin = end + 1;
  }
  return limits;
}

WorkspaceLimits& workspace_limits() {
  thread_local WorkspaceLimits limits;
  return limits;
}

WorkspaceLimitsScope::WorkspaceLimitsScope(WorkspaceLimits limits)
    : before_(std::exchange(workspace_limits(), std::move(limits))) {}
WorkspaceLimitsScope::~WorkspaceLimitsScope() { workspace_limits() = std::move(before_); }

}  // namespace mnemo
