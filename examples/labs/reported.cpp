// The lab of reports: memory figures that users of PyTorch measured on an A100 80GB, and what mnemo measures there.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/row.h"
#include "models/layer.h"
#include "training/trainer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;

constexpr const char* kReported = "virtual:a100-80gb";

/// A forward pass of one layer without gradients, as PyTorch without benchmark mode computes it.
struct Forward {
  training::StepReport report;
  std::optional<OutOfMemory::Details> failure;
  bool estimated = false;
};

Forward run_forward(const std::string& device_name, const std::string& layer, DType dtype,
                    const memory::AllocatorConfig& config) {
  const models::Spec spec = models::layer_spec(layer);
  const ConvPolicyScope policy(parse_conv_policy("pytorch"));
  const Device device = open_device(device_name, config);
  const DeviceScope scope(device);
  Forward forward;
  try {
    training::Trainer trainer(spec, training::Rule::nothing, dtype);
    forward.report = trainer.step(spec.batch, 0);
  } catch (const OutOfMemory& error) {
    forward.failure = error.details();
  }
  forward.estimated = device.backend().estimated_plans() > 0;
  return forward;
}

/// Adds figures whose predictions are what was reported, as far as they can be compared.
class Comparison {
 public:
  Comparison(const std::string& device, Row& row)
      : row_(row), device_(device), own_card_(card_of(device) == card_of(kReported)) {}

  /// `of` decides whether the figure rests on cuDNN's answers.
  void add(const std::string& name, Bytes reported, Bytes measured, const Forward& of, bool needs_library) {
    if (of.failure) return add_failure(*of.failure);
    const bool unknown = needs_library && of.estimated;
    unknown_ = unknown_ || unknown;
    push(name, reported, measured, own_card_ && !unknown);
  }
  void add_request(const std::string& name, Bytes reported, const Forward& of) {
    push(name, reported, of.failure ? of.failure->requested : 0, own_card_);
  }

  void judge() {
    if (unknown_) {
      row_.verdict = Verdict::depends;
      row_.because = fmt::format(
          "on the library: cuDNN's answers for these layers are not at hand ({}), their workspaces count as 0, and no "
          "agreement is claimed",
          open_device(device_, {}).backend().decisions().source());
    } else if (!own_card_) {
      row_.verdict = Verdict::depends;
      row_.because = fmt::format("on the card: the reports are of an A100 80GB, this is {}", device_);
    } else {
      row_.verdict = row_.agrees() ? Verdict::holds : Verdict::fails;
      row_.because = fmt::format("{} of {} figures come out to the byte", agreeing(), row_.figures.size());
    }
  }

 private:
  void add_failure(const OutOfMemory::Details& failure) {
    if (failed_) return;  // all figures of one run fail together
    failed_ = true;
    row_.figures.push_back({"request that fails on this card", std::nullopt, failure.requested});
  }
  void push(const std::string& name, Bytes reported, Bytes measured, bool comparable) {
    if (comparable) {
      row_.figures.push_back({name, reported, measured});
    } else {
      row_.figures.push_back({fmt::format("{} (reported: {})", name, format_bytes(reported)), std::nullopt, measured});
    }
  }
  std::int64_t agreeing() const {
    return std::count_if(row_.figures.begin(), row_.figures.end(),
                         [](const Figure& figure) { return figure.agrees(); });
  }

  Row& row_;
  std::string device_;
  bool own_card_, unknown_ = false, failed_ = false;
};

Row half_volume_row(const std::string& device) {
  Row row{
      .claim = "R1",
      .statement =
          "pytorch issue 95024: a Conv3d in half takes 12.874233344 GB, with one slice more it asks for 108.21 GiB.",
      .figures = {},
      .verdict = Verdict::depends,
      .because = {},
      .mechanism = {}};
  const auto run = [&device](int depth, const memory::AllocatorConfig& config) {
    return run_forward(device, fmt::format("conv3d:64,32,k3,p1@1x64x{}x370x251", depth), DType::float16, config);
  };
  Comparison comparison(device, row);
  const Forward usual = run(361, {}), next = run(362, {});
  comparison.add("peak allocated, 361 slices", 12'874'233'344, usual.report.peak.allocated, usual, true);
  comparison.add("peak reserved, 361 slices", 12'880'707'584, usual.report.peak_reserved, usual, true);
  comparison.add_request("request that fails, 362 slices", Bytes{64} * 27 * 362 * 370 * 251 * 2, next);
  comparison.judge();
  row.mechanism =
      "Conv3d(64, 32, 3, padding=1) on 1 x 64 x 361 x 370 x 251, forward without gradients; the issue gives "
      "12.874233344 GB allocated and 12.880707584 GB reserved. 361 slices stay below 2^31 elements (64*361*370*251 = "
      "2,145,668,480), and the first-ranked engine's workspace is about as large as input and output together; 362 "
      "pass it, cuDNN is not asked, and vol2col unfolds 27 values of each of 64 channels for every voxel: "
      "64*27*362*370*251*2 bytes";
  return row;
}

Row two_frames_row(const std::string& device) {
  Row row{.claim = "R2",
          .statement = "pytorch issue 128947: a Conv3d peaks at 17G, with one frame more it asks for 161.37 GiB.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const auto run = [&device](int depth) {
    return run_forward(device, fmt::format("conv3d:256,64,k3@1x256x{}x1090x1922", depth), DType::float32,
                       memory::AllocatorConfig::parse("expandable_segments:True"));
  };
  Comparison comparison(device, row);
  const Forward four = run(4), five = run(5);
  comparison.add("allocated before the forward pass, depth 4", 8'582'808'064, four.report.before_forward, four, false);
  comparison.add("allocated after it, depth 4", 9'652'355'584, four.report.after_forward, four, false);
  comparison.add("peak allocated, depth 4", 18'235'163'648, four.report.peak.allocated, four, true);
  comparison.add_request("request that fails, depth 5", Bytes{256} * 27 * 3 * 1088 * 1920 * 4, five);
  comparison.judge();
  row.mechanism =
      "Conv3d(256, 64, 3) on 1 x 256 x 4 x 1090 x 1922, forward without gradients; the issue gives 7.993362903594971 "
      "GiB before, in all digits, and 8.98 GiB after and 17G at the peak, rounded: these are the sums of tensors and "
      "workspace. They need blocks without unsplit remainders (expandable_segments:True); with the default options a "
      "large block may keep up to 1 MiB more. Depth 4 has 2,145,259,520 elements, depth 5 passes 2^31: vol2col asks "
      "for 256*27*3*1088*1920*4 bytes";
  return row;
}

}  // namespace

std::string reported_place(const std::string& device) { return card_of(device) == nullptr ? kReported : device; }

std::vector<Row> reported_lab(const std::string& device) { return {half_volume_row(device), two_frames_row(device)}; }

}  // namespace mnemo::labs
