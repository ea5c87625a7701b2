// Claim D3: a forward pass that is not recorded, through the convolutions of VGG-16 on one image of 224 x 224.
#include <algorithm>

#include <fmt/format.h>

#include "labs/initialization.h"
#include "labs/layer.h"
#include "models/vgg.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::Category;
using memory::format_bytes;

/// What a forward pass allocates besides parameters and image. Bytes.
struct Forward {
  Bytes kept = 0;  ///< by autograd, when it is over
  Bytes peak = 0;
};

/// By formula, layer by layer: a convolution's output goes when the relu has made its own, which the relu and the next
/// convolution keep; a pool keeps where its maxima were, a byte each.
Forward expect(const Device& device, bool recorded) {
  constexpr std::int64_t pool = 0;
  constexpr std::int64_t layers[] = {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0};
  std::int64_t channels = 3, edge = 224;
  Bytes held = 0, input = 0;  // of a layer; the image itself is not counted
  Forward forward;
  const auto reach = [&](Bytes more) { forward.peak = std::max(forward.peak, held + more); };
  for (const std::int64_t out : layers) {
    if (out == pool) {
      edge /= 2;
      const Bytes pooled = block_bytes(channels * edge * edge);
      const Bytes places = recorded ? block_bytes(channels * edge * edge, 1) : 0;
      reach(pooled + places);
      held += pooled + places - (recorded ? 0 : input);
      input = pooled;
      continue;
    }
    const LayerCase layer{.rank = 2, .in = channels, .out = out, .padding = 1, .size = edge};
    const LayerFormula formula(layer, device);
    const Bytes plane = formula.output();
    reach(plane + formula.workspace(ConvPass::forward));
    held -= recorded ? 0 : input;
    reach(2 * plane);
    held += plane;
    input = plane;
    channels = out;
  }
  forward.kept = recorded ? held - input : 0;  // the last output is the caller's
  return forward;
}

Forward measure(const std::string& name, bool recorded) {
  const Device device = open_device(name, exact_blocks());
  const DeviceScope here(device);
  manual_seed(0);
  nn::Sequential features = models::Vgg16().features;
  const Tensor image = randn({1, 3, 224, 224});
  device.allocator().reset_peak();
  const Bytes before = device.allocator().allocated();
  const GradModeScope recording(recorded);
  const Tensor output = features(image);
  return {held_as(device.allocator().categories(), Category::saved_activation),
          device.allocator().peak().allocated - before};
}

}  // namespace

Row no_grad_row(const std::string& device_name) {
  Row row{.claim = "D3",
          .statement = "Under no_grad a forward pass does not keep its activations.",
          .figures = {},
          .verdict = Verdict::fails,
          .because = {},
          .mechanism = {}};
  const std::string place = shape_only(device_name);
  const Device device = open_device(place, {});
  Forward measured[2];
  for (const bool recorded : {true, false}) {
    const Forward expected = expect(device, recorded);
    Forward& now = measured[recorded ? 0 : 1];
    now = measure(place, recorded);
    const char* how = recorded ? "recorded" : "under no_grad";
    row.figures.push_back({fmt::format("kept by autograd, {}", how), expected.kept, now.kept});
    row.figures.push_back({fmt::format("forward pass at most, {}", how), expected.peak, now.peak});
  }
  const bool kept = measured[1].kept > 0, less = measured[1].peak < measured[0].peak;
  row.verdict = kept ? Verdict::fails : less ? Verdict::holds : Verdict::depends;
  row.because = fmt::format(
      "besides parameters and image the convolutions of VGG-16 hold {} at most when they are recorded, {} of them "
      "until backward; not recorded they hold {} at most, and keep {}",
      format_bytes(measured[0].peak), format_bytes(measured[0].kept), format_bytes(measured[1].peak),
      format_bytes(measured[1].kept));
  row.mechanism =
      "an activation lives while something refers to it: the closures of what is recorded, until backward; and where "
      "nothing is recorded, nobody once the next layer has run. That leaves two neighbours at a time, with the "
      "convolution's workspace: here 64 * 224 * 224 values each. Parameters are the same either way, so that no_grad "
      "does not help a model that does not fit when it is made";
  return row;
}

}  // namespace mnemo::labs
