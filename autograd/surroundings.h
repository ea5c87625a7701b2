// What a recomputation finds as it was the first time. Everything on which an operation depends besides its arguments
// belongs here and nowhere else: to restore one thing more, add a member to each of the two types.
#pragma once

#include <mnemo/autograd/autocast.h>
#include <mnemo/core/conv.h>
#include <mnemo/core/device.h>
#include <mnemo/core/random.h>
#include <mnemo/core/workspace_limits.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

/// As they are on this thread when it is made.
struct Surroundings {
  RandomState random = random_state();
  Device device = {};
  ConvPolicy conv = conv_policy();
  WorkspaceLimits workspaces = workspace_limits();
  AutocastState autocast = current_autocast();
  memory::Tag tag = memory::current_tag();  ///< the category and the module for what is allocated
};

/// Brings them back until the end of the scope. Phase and step stay: what is recomputed is part of backward.
class SurroundingsScope {
 public:
  explicit SurroundingsScope(const Surroundings& then)
      : device_(then.device),
        conv_(then.conv),
        workspaces_(then.workspaces),
        autocast_(then.autocast),
        category_(then.tag.category),
        module_(then.tag.module) {
    set_random_state(then.random);
  }
  ~SurroundingsScope() { set_random_state(random_); }
  SurroundingsScope(const SurroundingsScope&) = delete;
  SurroundingsScope& operator=(const SurroundingsScope&) = delete;

 private:
  RandomState random_ = random_state();  ///< the program's stream is one for all threads
  DeviceScope device_;
  ConvPolicyScope conv_;
  WorkspaceLimitsScope workspaces_;
  AutocastScope autocast_;
  memory::CategoryScope category_;
  memory::ModuleScope module_;
};

}  // namespace mnemo
