// Which layers must give up their fast plan so that a program fits, and how much of their workspace: read from the
// requests that fail in dry runs.
#pragma once

#include <functional>
#include <optional>

#include <mnemo/autograd/fit_plan.h>

namespace mnemo {

/// Whether smaller workspaces of convolutions could make a failed trial fit: without any of them there would have been
/// room. False for one that fits.
bool workspaces_stand_in_the_way(const FitTrial& failed);

/// A trial like `failed` with limits for as few layers as it can find, none of which can be left out, or nothing where
/// `most` attempts do not suffice or workspaces are not what is in the way. Each limit is what the layer then takes, in
/// whole MiB where that gives the same plans.
std::optional<FitTrial> limit_layers(const FitTrial& failed, const std::function<FitTrial(const FitChoices&)>& attempt,
                                     int most = 100);

}  // namespace mnemo
