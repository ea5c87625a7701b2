#include "labs/flat_network.h"

#include <algorithm>
#include <utility>

#include "labs/arithmetic.h"

namespace mnemo::labs {

using memory::Bytes;

FlatNetworkFormula::FlatNetworkFormula(Device device, std::int64_t channels, std::int64_t batch, DType dtype)
    : device_(std::move(device)), channels_(channels), batch_(batch), dtype_(dtype) {}

bool FlatNetworkFormula::flatten_copies() const {
  return device_.backend().decisions().conv_layout(dtype_, conv_policy()) == ConvLayout::channels_last;
}

Bytes FlatNetworkFormula::conv_workspace(ConvPass pass) const {
  const LayerCase layer{.rank = 2, .in = 3, .out = channels_, .batch = batch_, .size = kEdge, .dtype = dtype_};
  return LayerFormula(layer, device_).workspace(pass);
}

Bytes FlatNetworkFormula::product_workspace(std::int64_t rows, std::int64_t columns, std::int64_t depth) const {
  const MatmulProblem problem{.rows = rows, .columns = columns, .depth = depth, .dtype = dtype_};
  return block_bytes(device_.backend().decisions().matmul_workspace(problem, conv_policy()), 1);
}

Bytes FlatNetworkFormula::step_peak() const {
  const Bytes always = 3 * parameters() + images() + block_bytes(batch_, 8);   // with Adam's moments, and the labels
  const Bytes output = bytes(batch_ * kOutputs), results = output + bytes(1);  // with the loss
  const Bytes backward = always + plane() + results + output;                  // with the output's gradient
  const Bytes end =
      always + plane() + results + linear();  // from the relu's gradient on, which takes its input's place
  return std::max({
      always + plane() + conv_workspace(ConvPass::forward),
      always + 2 * plane(),  // the relu, of which the input is still there
      always + plane() + output + product_workspace(batch_, kOutputs, features()),
      // The linear layer's two products, for the gradients of its input and of its weight; and its bias's.
      backward + plane() + product_workspace(batch_, features(), kOutputs),
      backward + plane() + linear_weight() + product_workspace(kOutputs, features(), batch_),
      backward + plane() + linear(),
      end + plane(),
      end + conv_weight() + conv_workspace(ConvPass::weight_gradient),
      end + conv(),
  });
}

}  // namespace mnemo::labs
