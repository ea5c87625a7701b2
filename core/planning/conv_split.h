// How a convolution of 2^31 elements or more is cut into pieces that a library takes. Pure arithmetic.
#pragma once

#include <cstdint>

#include <mnemo/core/conv.h>

namespace mnemo {

/// A range along the first spatial size of one pass, and the convolution that computes it.
struct ConvPiece {
  std::int64_t in_begin = 0, in_end = 0;    ///< of the input (or its gradient)
  std::int64_t out_begin = 0, out_end = 0;  ///< of the output (or its gradient); empty: nothing reaches the input range
  ConvProblem problem;
};

/// The piece that begins at `begin` and takes `step` of the axis that the pass cuts: of the input for the data
/// gradient, else of the output. Steps of the data gradient are multiples of the stride; its pieces but the first begin
/// at a multiple of `step` less the remainder of the padding by the stride.
ConvPiece depth_piece(const ConvProblem& problem, ConvPass pass, std::int64_t begin, std::int64_t step);
/// Where the piece after the one at `begin` begins; at least the size of the axis: there is none.
std::int64_t next_piece(const ConvProblem& problem, ConvPass pass, std::int64_t begin, std::int64_t step);

/// A plan of algorithm split: equal parts of the batch if one image fits, else single images, which are cut along their
/// first spatial size. step is 0 where even a slice of size 1 does not fit.
ConvPlan conv_split(const ConvProblem& problem, ConvPass pass);
/// What PyTorch does: parts of at most 2^29 elements along the batch; step is 0 where one image does not fit.
ConvPlan pytorch_split(const ConvProblem& problem);

}  // namespace mnemo
