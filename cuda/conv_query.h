// What a card's library is asked about: one pass of one convolution in one memory layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <mnemo/core/conv.h>

namespace mnemo::cuda {

enum class ConvLayout : std::uint8_t { contiguous, channels_last };
const char* name(ConvLayout layout);

struct ConvQuery {
  ConvProblem problem;
  ConvPass pass = ConvPass::forward;
  ConvLayout layout = ConvLayout::contiguous;

  bool operator==(const ConvQuery&) const = default;
};

std::size_t hash(const ConvQuery& query);

/// "forward conv3d float16 contiguous (1, 64, 361, 370, 251) * (32, 64, 3, 3, 3)": for logs and errors.
std::string describe(const ConvQuery& query);

/// Why the fast engines cannot be asked at all, or "": an operand of 2^31 elements or more, or an empty one.
/// The library still lists engines with 64-bit indices then, but only its slowest; splitting the batch is better.
std::string obstacle(const ConvQuery& query);

}  // namespace mnemo::cuda
