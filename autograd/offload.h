// Offload: what operations save for backward waits in the memory of the host instead of the device's.
//
//   const OffloadScope offload;
//   const Tensor loss = cross_entropy(net(x), targets);  // the device holds what is being computed, and little more
//   ...
//   loss.backward();  // each value comes back when an operation reads it
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <utility>

#include <mnemo/autograd/tensor.h>
#include <mnemo/memory/bytes.h>

namespace mnemo {

class StandIn;

struct OffloadOptions {
  memory::Bytes threshold = 1 << 20;  ///< storages of fewer bytes stay; the default is 1 MiB
  /// Where they wait, with a ledger of its own. Nothing: for a virtual device one that counts as the CPU does and
  /// holds nothing; for others the memory of this machine. Each is one device for the whole process, apart from "cpu".
  std::optional<Device> host = {};
};

/// While it lives, an activation that an operation of this thread saves is copied to the host, once for each of its
/// versions, and freed on the device as soon as nobody else holds it. Backward brings it back to the device where it is
/// read, for as long as that operation's gradient takes; with retain_graph it stays there. A later change in place does
/// not matter to it. Gradients are those of the plain run, bit for bit. Parameters and inputs stay where they are.
///
/// Inside a checkpointed region nothing is saved, so nothing is moved but the region's inputs, and what a region
/// computes again stays on the device. Scopes nest; the innermost one counts.
class OffloadScope {
 public:
  explicit OffloadScope(OffloadOptions options = {});
  ~OffloadScope();
  OffloadScope(const OffloadScope&) = delete;
  OffloadScope& operator=(const OffloadScope&) = delete;

 private:
  std::optional<OffloadOptions> before_;
};

/// Where activations of `device` wait unless the options say otherwise.
Device offload_host(const Device& device);

/// Calls `fn` in such a scope and returns what it returns.
template <class F, class... Inputs>
decltype(auto) offload(const OffloadOptions& options, F&& fn, const Inputs&... inputs) {
  const OffloadScope scope(options);
  return std::forward<F>(fn)(inputs...);
}
template <class F, class... Inputs>
requires std::invocable<F, const Inputs&...>
decltype(auto) offload(F&& fn, const Inputs&... inputs) {
  return offload(OffloadOptions(), std::forward<F>(fn), inputs...);
}

/// For Saved: the array's storage as it is now on the host, if a scope wants it there; else null.
std::shared_ptr<StandIn> offloaded(const Array& array);

}  // namespace mnemo
