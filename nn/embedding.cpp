#include <mnemo/nn/embedding.h>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/nn/init.h>

namespace mnemo::nn {

Embedding::Embedding(EmbeddingOptions layer_options) : options(layer_options) {
  if (options.count < 1 || options.features < 1) {
    fail<ShapeError>("Embedding",
                     fmt::format("count {} and features {} must be positive", options.count, options.features));
  }
  weight = normal_parameter(Shape{options.count, options.features}, 1);
}

}  // namespace mnemo::nn
