// Claim B5, quantization: inference with weights of one byte, which are turned back layer by layer.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/layer.h"
#include "labs/network_size.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;
using memory::format_bytes;

/// Linear layers with relus behind them, all of one size.
struct Net {
  const char* name;
  std::int64_t layers, in, out, batch;
};
constexpr Net kChain{"16 layers 512->512", 16, 512, 512, 64};
constexpr Net kWide{"fc1 of SmallNetwork", 1, 16 * 30 * 30, 128, 1};  // nearly all of its parameters

/// A weight (out, in) in 8 bits: for each output a step and what code 0 stands for.
struct Codes {
  Tensor codes, step, zero;

  Tensor weight() const {
    Tensor restored = to(codes, DType::float32);
    mul_(restored, step);
    return add_(restored, zero);
  }
};

Codes quantize(const Tensor& weight) {
  const Tensor lowest = min(weight, 1, true), step = (max(weight, 1, true) - lowest) / 255.0;
  return {to((weight - lowest) / step + 0.5, DType::uint8), step, lowest};  // the cast rounds down
}

void hold_as_parameter(const Tensor& tensor) { tensor.array().storage()->set_category(Category::parameter); }

/// The net's weights as they are, or in 8 bits, and its forward pass.
class Inference {
 public:
  Inference(const Net& net, bool in_8_bits) : net_(net) {
    for (std::int64_t i = 0; i < net.layers; ++i) {
      const Tensor weight = nn::Linear({.in = net.in, .out = net.out, .bias = false}).weight.detach();
      if (!in_8_bits) {
        weights_.push_back(weight);
        continue;
      }
      codes_.push_back(quantize(weight));
      for (const Tensor& tensor : {codes_.back().codes, codes_.back().step, codes_.back().zero})
        hold_as_parameter(tensor);
    }
  }

  Tensor forward(Tensor x) const {
    for (std::int64_t i = 0; i < net_.layers; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const Tensor y = linear(x, codes_.empty() ? weights_[at] : codes_[at].weight());
      x = relu(y);
    }
    return x;
  }

 private:
  const Net& net_;
  std::vector<Tensor> weights_;
  std::vector<Codes> codes_;
};

struct InferenceBytes {
  Bytes at_rest = 0, peak = 0;
};

InferenceBytes measure(const Net& net, bool in_8_bits, const std::string& name) {
  const Device device = open_device(name, exact_blocks());
  const DeviceScope here(device);
  const GradModeScope recording(false);
  manual_seed(0);
  const Inference inference(net, in_8_bits);
  InferenceBytes measured{.at_rest = device.allocator().allocated()};
  const memory::CategoryScope category(Category::input);
  const Tensor x = randn({net.batch, net.in});
  device.allocator().reset_peak();
  const Tensor y = inference.forward(x);
  measured.peak = device.allocator().peak().allocated;
  return measured;
}

/// By formula.
InferenceBytes expect(const Net& net, bool in_8_bits, const Device& device) {
  const MatmulProblem problem{.rows = net.batch, .columns = net.out, .depth = net.in};
  const Bytes workspace = block_bytes(device.backend().decisions().matmul_workspace(problem, conv_policy()), 1);
  const Bytes weight = block_bytes(net.in * net.out), channels = block_bytes(net.out);
  const Bytes input = block_bytes(net.batch * net.in), output = block_bytes(net.batch * net.out);
  const Bytes before = net.layers > 1 ? input + output : input;  // the layer's own input, and the first one's
  InferenceBytes bytes;
  bytes.at_rest = net.layers * (in_8_bits ? block_bytes(net.in * net.out, 1) + 2 * channels : weight);
  const Bytes product = before + (in_8_bits ? weight : 0) + output + workspace, relu = before + 2 * output;
  bytes.peak = bytes.at_rest + std::max(product, relu);
  return bytes;
}

/// How far from themselves weights are brought back, on the CPU.
struct Errors {
  std::int64_t too_far = 0;  ///< weights that are off by more than half a step, rounding aside
  double largest = 0, in_steps = 0, step = 0;
};

Errors measure_errors(const Net& net) {
  const DeviceScope here(open_device("cpu", {}));
  const GradModeScope recording(false);
  manual_seed(0);
  Errors errors;
  for (std::int64_t layer = 0; layer < net.layers; ++layer) {
    const Tensor weight = nn::Linear({.in = net.in, .out = net.out, .bias = false}).weight.detach();
    const Codes codes = quantize(weight);
    const std::vector<double> off = abs(codes.weight() - weight).values<double>(), steps = codes.step.values<double>();
    for (std::size_t i = 0; i < off.size(); ++i) {
      const double step = steps[i / static_cast<std::size_t>(net.in)];
      errors.too_far += off[i] > 0.501 * step ? 1 : 0;
      errors.step = std::max(errors.step, step);
      errors.largest = std::max(errors.largest, off[i]);
      errors.in_steps = std::max(errors.in_steps, off[i] / step);
    }
  }
  return errors;
}

}  // namespace

Row quantized_weights_row(const std::string& device_name) {
  Row row{.claim = "B5b",
          .statement = "Quantization reduces the memory of a network.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const Device device = open_device(device_name, {});
  InferenceBytes plain[2], small[2];
  for (int i = 0; i < 2; ++i) {
    const Net& net = i == 0 ? kChain : kWide;
    for (const bool in_8_bits : {false, true}) {
      const InferenceBytes measured = measure(net, in_8_bits, device_name), expected = expect(net, in_8_bits, device);
      (in_8_bits ? small : plain)[i] = measured;
      const char* type = in_8_bits ? "uint8" : "float32";
      row.figures.push_back(
          {fmt::format("weights at rest, {}, {}", net.name, type), expected.at_rest, measured.at_rest});
      row.figures.push_back({fmt::format("peak of inference, {}, {}", net.name, type), expected.peak, measured.peak});
    }
  }
  const Errors errors = measure_errors(kChain);
  row.figures.push_back({"weights more than half a step off (count, on cpu)", 0, errors.too_far});
  row.figures.push_back(
      {"largest error in thousandths of its step (not bytes, on cpu)", {}, std::llround(1000 * errors.in_steps)});
  const bool rest = small[0].at_rest < plain[0].at_rest && small[1].at_rest < plain[1].at_rest;
  const bool chain_peak = small[0].peak < plain[0].peak, wide_peak = small[1].peak < plain[1].peak;
  row.verdict = rest && chain_peak && wide_peak ? Verdict::holds : rest ? Verdict::depends : Verdict::fails;
  row.because = depending(row.verdict, "on the largest layer") +
                fmt::format(
                    "weights at rest take {} and {}; while it runs, the net of {} takes {} of its peak in float32, {} "
                    "{}. No weight is off by more than {:.6f}; half of the largest step is {:.6f}",
                    times(small[0].at_rest, plain[0].at_rest), times(small[1].at_rest, plain[1].at_rest), kChain.name,
                    times(small[0].peak, plain[0].peak), kWide.name, times(small[1].peak, plain[1].peak),
                    errors.largest, errors.step / 2);
  row.mechanism =
      "a weight becomes one byte, and each output has a step (its largest weight less its smallest, / 255) and a zero "
      "point; weights within 1 / sqrt(512) have steps of at most 2 / sqrt(512) / 255 = 0.000347. The product is in "
      "float32, so that one layer's weight at a time is turned back: a quarter of all weights and one whole layer, no "
      "gain where one layer is all. For training it is none either: gradients and moments stay";
  return row;
}

}  // namespace mnemo::labs
