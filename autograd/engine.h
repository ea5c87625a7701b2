// The engine: runs the closures of a graph, latest op first, and hands each gradient on as soon as it is complete.
#pragma once

#include <mnemo/autograd/tensor.h>

namespace mnemo {

/// Computes gradients from `root`, starting with `gradient` (undefined: ones). An exception leaves leaves that had no
/// gradient without one; a gradient that was being accumulated into may hold part of the new contributions, unless a
/// Transaction holds it.
void run_backward(const Tensor& root, Array gradient, bool retain_graph);

}  // namespace mnemo
