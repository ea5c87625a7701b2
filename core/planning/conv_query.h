// What a card's library is asked about: one pass of one convolution in one memory layout.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <mnemo/core/conv.h>

namespace mnemo {

struct ConvQuery {
  ConvProblem problem;
  ConvPass pass = ConvPass::forward;
  ConvLayout layout = ConvLayout::contiguous;

  bool operator==(const ConvQuery&) const = default;
};

/// What is done to each element of a forward pass's output before it is written.
struct ConvEpilogue {
  bool bias = false;  ///< the channel's bias is added
  bool relu = false;  ///< behind that: what is below 0 becomes 0

  bool is_empty() const { return !bias && !relu; }
};

std::size_t hash(const ConvQuery& query);

/// "forward conv3d float16 contiguous (1, 64, 361, 370, 251) * (32, 64, 3, 3, 3)": for logs and errors.
std::string describe(const ConvQuery& query);

/// The sizes of the operands as the caller knows them: (N, C, sizes...), (out, C / groups, kernel...).
std::vector<std::int64_t> input_sizes(const ConvProblem& problem);
std::vector<std::int64_t> weight_sizes(const ConvProblem& problem);
std::vector<std::int64_t> output_sizes(const ConvProblem& problem);

/// Whether an operand has no elements, so that nothing is computed.
bool is_empty(const ConvProblem& problem);

/// Why the fast engines cannot be asked, or "": an operand of 2^31 elements or more. The library still lists engines
/// with 64-bit indices then, but only its slowest; splitting is better.
std::string size_obstacle(const ConvProblem& problem);

}  // namespace mnemo
