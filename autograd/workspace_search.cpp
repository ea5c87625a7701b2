#include <mnemo/autograd/workspace_search.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace mnemo {

namespace {

using memory::Bytes;

struct Lowering {
  std::string path;
  Bytes limit = 0;
};

/// The next limit to try. Where the workspace of a layer was refused, nothing above what there was room for can be
/// granted at that moment, so that is its limit. Where anything else was refused although there would be room without
/// workspaces, the largest one left a hole that is too small: its layer takes the next plan.
std::optional<Lowering> next_lowering(const FitTrial& failed) {
  const OutOfMemory::Details& details = *failed.failure;
  const auto lower = [&](const std::string& path, Bytes limit) -> std::optional<Lowering> {
    const std::optional<Bytes> now = failed.choices.workspace.of(path);
    if (now && *now <= limit) return std::nullopt;
    return Lowering{path, limit};
  };
  if (details.tag.category == memory::Category::workspace && failed.workspaces.contains(details.tag.module)) {
    const Bytes room = std::max({details.free, details.largest_free_block, Bytes{0}});
    if (auto refused = lower(details.tag.module, std::min(room, details.requested - 1))) return refused;
  }
  const auto largest = std::max_element(failed.workspaces.begin(), failed.workspaces.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
  if (largest == failed.workspaces.end() || largest->second == 0) return std::nullopt;
  return lower(largest->first, largest->second - 1);
}

bool same_run(const FitTrial& a, const FitTrial& b) {
  return a.fits && b.fits && a.peak_allocated == b.peak_allocated && a.peak_reserved == b.peak_reserved &&
         a.workspaces == b.workspaces;
}

}  // namespace

bool workspaces_stand_in_the_way(const FitTrial& failed) {
  if (failed.fits || !failed.failure) return false;
  const OutOfMemory::Details& details = *failed.failure;
  const auto workspace = static_cast<std::size_t>(memory::Category::workspace);
  const bool refused = details.tag.category == memory::Category::workspace;
  const Bytes needed = details.allocated - details.categories[workspace] + (refused ? 0 : details.requested);
  const bool taken = std::any_of(failed.workspaces.begin(), failed.workspaces.end(),
                                 [](const auto& layer) { return layer.second > 0; });
  return taken && (details.capacity == 0 || needed <= details.reserved + details.free);
}

std::optional<FitTrial> limit_layers(const FitTrial& failed, const std::function<FitTrial(const FitChoices&)>& attempt,
                                     int most) {
  int attempts = 0;
  FitTrial found = failed;
  std::vector<std::string> limited;
  while (!found.fits) {
    if (!workspaces_stand_in_the_way(found) || attempts == most) return std::nullopt;
    const std::optional<Lowering> next = next_lowering(found);
    if (!next) return std::nullopt;
    if (std::find(limited.begin(), limited.end(), next->path) == limited.end()) limited.push_back(next->path);
    FitChoices choices = found.choices;
    choices.workspace.set(next->path, next->limit);
    found = attempt(choices);
    ++attempts;
  }
  const auto put_back = [&](FitChoices& choices, const std::string& path) {
    const auto& before = failed.choices.workspace.by_path();
    if (const auto old = before.find(path); old != before.end())
      choices.workspace.set(path, old->second);
    else
      choices.workspace.erase(path);
  };
  // A layer that was limited for the sake of another one, which was then limited itself, may have its plan back.
  std::erase_if(limited, [&](const std::string& path) {
    if (limited.size() == 1 || attempts++ >= most) return false;
    FitChoices choices = found.choices;
    put_back(choices, path);
    FitTrial trial = attempt(choices);
    if (trial.fits) found = std::move(trial);
    return found.choices == choices;
  });
  // The limit that a layer keeps to gives the plans that it took: none of them is skipped, and no other is admitted.
  FitChoices rounded = found.choices;
  for (const std::string& path : limited) {
    const auto taken = found.workspaces.find(path);
    if (taken == found.workspaces.end()) continue;
    const Bytes limit = std::min(taken->second, *found.choices.workspace.of(path));
    found.choices.workspace.set(path, limit);
    rounded.workspace.set(path, memory::round_up(limit, memory::MiB));
  }
  if (rounded.workspace == found.choices.workspace) return found;
  FitTrial trial = attempt(rounded);
  return same_run(trial, found) ? std::move(trial) : std::move(found);
}

}  // namespace mnemo
