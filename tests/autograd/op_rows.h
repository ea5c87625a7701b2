// An op row: a name, a function on tensors, a reference in plain float64 loops, and the inputs to try. `check` is the
// one driver that holds every row to the same promises: value, gradient, layouts, dtypes, repeats, threads, and bytes
// on a virtual device.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <mnemo/autograd/ops.h>

#include "autograd/plain.h"

namespace rows {

using mnemo::DType;
using mnemo::Shape;
using mnemo::Tensor;

struct Input {
  Shape shape;
  double low = -2, high = 2;
  std::vector<std::int64_t> indices = {};  ///< given: int64 values without a gradient, instead of random numbers
  bool differentiable = true;
};

using Tensors = std::vector<Tensor>;
using Plains = std::vector<Plain>;

struct OpRow {
  std::string name;
  std::vector<Input> inputs;
  std::function<Tensor(const Tensors&)> op;
  std::function<Plain(const Plains&)> reference;
  double kink = 0;                ///< random inputs stay away from this value, where the derivative jumps
  bool smooth_in_half = true;     ///< false: rounding to half makes ties, so half gradients are only run
  bool smooth_expanded = true;    ///< false: repeated elements tie, so only the value of expanded inputs is checked
  std::vector<Input> large = {};  ///< inputs big enough for several threads (empty: the same ones)
};

/// Runs every check on every row.
void check(const std::vector<OpRow>& rows);

}  // namespace rows
