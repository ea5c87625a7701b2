// Difference: why two recordings need different amounts of memory, as sums of
// named causes that add up exactly.
#pragma once

#include <string>
#include <vector>

#include <mnemo/memory/account.h>

namespace mnemo::memory {

/// A part of a change.
struct Cause {
  std::string cause;  ///< "activations saved", "workspace", "rounding", "peak
                      ///< moved to another phase", ...
  std::string where;  ///< "layer1.0.conv1 conv2d"; empty for what belongs to no layer
  Bytes bytes = 0;    ///< what it adds (negative: takes away); never 0
  std::string evidence;
  std::string algorithms = {};  ///< of a workspace: "eng34_k0=2 -> eng34_k0=18", where another one was taken
};

/// One figure of both recordings. REQUIRES of its maker: the causes add up to b
/// - a.
struct Change {
  Bytes a = 0;
  Bytes b = 0;
  std::vector<Cause> causes;  ///< the largest first, whatever their sign
};

struct Difference {
  std::string answer;  ///< one or two sentences with the numbers
  Change peak_allocated;
  Change peak_reserved;
  Change device_use;  ///< peak reserved and what is outside of the allocator (0
                      ///< where that is unknown)
};

/// What makes `b` different from `a`. Where the peaks lie in different ops, the
/// op of the higher peak is compared in both; that the other one peaks
/// elsewhere is a cause of its own.
Difference difference(const Recording& a, const Recording& b);

/// The sentences on top: a part of `difference`.
std::string answer(const Difference& difference);

}  // namespace mnemo::memory
