#include "labs/simple_conv.h"

#include <algorithm>

#include "labs/arithmetic.h"

namespace mnemo::labs {

using memory::Bytes;

// Both convolutions have kernel 3 and no padding, both pools halve and round down.
SimpleConvFormula::SimpleConvFormula(const Device& device, std::int64_t batch, std::int64_t size, std::int64_t width)
    : device_(device),
      batch_(batch),
      size_(size),
      width_(width),
      conv1_(size - 2),
      pooled1_(conv1_ / 2),
      conv2_(pooled1_ - 2),
      pooled2_(conv2_ / 2) {}

Bytes SimpleConvFormula::conv1_parameters() const { return block_bytes(width_ * 3 * 3 * 3) + block_bytes(width_); }
Bytes SimpleConvFormula::fc_parameters() const { return block_bytes(10 * 2 * width_ * 5 * 5) + block_bytes(10); }

Bytes SimpleConvFormula::workspace(std::int64_t in, std::int64_t out, std::int64_t edge, ConvPass pass) const {
  ConvProblem problem;
  problem.batch = batch_;
  problem.in_channels = in;
  problem.out_channels = out;
  problem.in = {1, edge, edge};
  problem.kernel = {1, 3, 3};
  problem.out = {1, edge - 2, edge - 2};
  return block_bytes(device_.backend().decisions().conv(problem, pass, conv_policy()).workspace, 1);
}

Bytes SimpleConvFormula::product_workspace(std::int64_t rows, std::int64_t columns, std::int64_t depth) const {
  const MatmulProblem problem{.rows = rows, .columns = columns, .depth = depth};
  return block_bytes(device_.backend().decisions().matmul_workspace(problem, conv_policy()), 1);
}

Bytes SimpleConvFormula::step_peak(bool accumulated) const {
  const Bytes batch = images() + block_bytes(batch_, 8);            // with its labels
  const Bytes results = block_bytes(batch_ * 10) + block_bytes(1);  // the output and the loss

  // With Adam's moments, and all gradients where each is added to the one that is there, as soon as it is complete.
  const Bytes always = (accumulated ? 4 : 3) * parameters() + batch;
  const Bytes of_fc = accumulated ? 0 : fc_parameters(), of_conv2 = accumulated ? 0 : conv2_parameters();
  const Bytes backward = always + results + of_fc;
  const Bytes at_conv2 = backward + kept1() + plane2();
  const Bytes at_fc = always + kept();
  return std::max({
      always + plane1() + workspace(3, width_, size_, ConvPass::forward),
      always + plane1() + kept1(),  // pool1, forward: conv1's output is still there
      always + kept1() + plane2() + workspace(width_, 2 * width_, pooled1_, ConvPass::forward),
      at_fc + block_bytes(batch_ * 10) + product_workspace(batch_, 10, features()),
      // The linear layer's second product, when the gradients of its output and input are there.
      at_fc + results + block_bytes(batch_ * 10) + half2() + block_bytes(10 * features()) +
          product_workspace(10, features(), batch_),
      at_conv2 + half1() + workspace(width_, 2 * width_, pooled1_, ConvPass::data_gradient),
      at_conv2 + half1() + conv2_weight() + workspace(width_, 2 * width_, pooled1_, ConvPass::weight_gradient),
      backward + of_conv2 + kept1() + plane1(),  // pool1, backward: from its gradient to relu1's
      backward + of_conv2 + plane1() + block_bytes(width_ * 3 * 3 * 3) +
          workspace(3, width_, size_, ConvPass::weight_gradient),
      backward + of_conv2 + plane1() + conv1_parameters(),
  });
}

}  // namespace mnemo::labs
