// Embedding: learned vectors by number.
#pragma once

#include <optional>

#include <mnemo/autograd/ops.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

struct EmbeddingOptions {
  std::int64_t count = 0;     ///< how many vectors there are
  std::int64_t features = 0;  ///< of each
  /// One that begins with zeros and is not trained, for the places behind a sequence; negative: from the end.
  std::optional<std::int64_t> padding = {};
};
/// Indices (...) int64 from 0 to count - 1 -> (..., features). Begins standard normal.
struct Embedding : Module<Embedding> {
  EmbeddingOptions options;
  Tensor weight;  // (count, features)

  /// Throws ShapeError unless both numbers are positive, and for a padding that is none of the vectors.
  explicit Embedding(EmbeddingOptions layer_options);
  Tensor forward(const Tensor& indices) const { return embedding(weight, indices, options.padding); }
  void visit(Visitor& v) { v.parameter("weight", weight); }
};

}  // namespace mnemo::nn
