#include <mnemo/nn/embedding.h>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/nn/init.h>

namespace mnemo::nn {

Embedding::Embedding(EmbeddingOptions layer_options) : options(layer_options) {
  if (options.count < 1 || options.features < 1) {
    fail<ShapeError>("Embedding",
                     fmt::format("count {} and features {} must be positive", options.count, options.features));
  }
  const std::int64_t count = options.count;
  if (options.padding && (*options.padding < -count || *options.padding >= count)) {
    fail<ShapeError>("Embedding", fmt::format("padding {} is none of {} vectors (allowed: {} to {})", *options.padding,
                                              count, -count, count - 1));
  }
  weight = normal_parameter(Shape{count, options.features}, 1);
  if (!options.padding) return;
  const std::int64_t row = *options.padding < 0 ? *options.padding + count : *options.padding;
  fill(weight.array().slice(0, row, row + 1), 0);
}

}  // namespace mnemo::nn
