// WorkspaceLimits: how much workspace the convolutions of each layer may take, by module path; and those of a thread.
//
//   const WorkspaceLimitsScope limited(parse_workspace_limits("64MiB,layer3=0,layer4.0.conv1=8MiB"));
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <mnemo/memory/bytes.h>

namespace mnemo {

/// Bytes for module paths such as "layer3.0.conv1". A path stands for itself and for all below it, the empty one for
/// everything; of several that hold for a layer the most specific one wins. A policy's own limit (core/conv.h) holds
/// besides. A path that no module has limits nothing: here nobody knows the model.
/// Like the policy, limits are looked at when a convolution runs: backward takes those that hold while it runs, a
/// recomputation those of the first time.
class WorkspaceLimits {
 public:
  using ByPath = std::map<std::string, memory::Bytes, std::less<>>;

  WorkspaceLimits() = default;
  /// Throws ConfigError for a limit below 0.
  explicit WorkspaceLimits(const ByPath& by_path);

  bool empty() const { return by_path_.empty(); }
  const ByPath& by_path() const { return by_path_; }
  /// The limit of a layer, if it has one.
  std::optional<memory::Bytes> of(std::string_view module) const;

  /// In the place of what the path had. Throws ConfigError for a limit below 0.
  void set(std::string_view path, memory::Bytes limit);
  void erase(std::string_view path);

  /// "64MiB,layer3=0": exact, and read by parse_workspace_limits.
  std::string text() const;
  bool operator==(const WorkspaceLimits&) const = default;

 private:
  ByPath by_path_;
};

/// Both hold: the smaller limit for each layer.
WorkspaceLimits both(const WorkspaceLimits& a, const WorkspaceLimits& b);

/// Reads sizes with commas between: a size alone is for everything, PATH=SIZE for a layer and all below it. Throws
/// ConfigError for anything else, and for a path that is there twice.
WorkspaceLimits parse_workspace_limits(std::string_view text);

/// Those of this thread; none at first.
WorkspaceLimits& workspace_limits();

/// Takes other limits until the end of the scope.
class WorkspaceLimitsScope {
 public:
  explicit WorkspaceLimitsScope(WorkspaceLimits limits);
  ~WorkspaceLimitsScope();
  WorkspaceLimitsScope(const WorkspaceLimitsScope&) = delete;
  WorkspaceLimitsScope& operator=(const WorkspaceLimitsScope&) = delete;

 private:
  WorkspaceLimits before_;
};

}  // namespace mnemo
