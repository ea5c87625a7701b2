// GradScaler: keeps float16 gradients above underflow. It owns the scale of the loss, which follows on the device what
// the gradients do.
//
//   scaler.scale(loss).backward();
//   scaler.step(optimizer);  // skipped where a gradient is not finite
//   scaler.update();
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include <mnemo/optim/optimizer.h>

namespace mnemo::optim {

struct GradScalerOptions {
  double init_scale = 65536;
  double growth = 2;     ///< after `growth_interval` good steps in a row
  double backoff = 0.5;  ///< after a step that was skipped
  std::int64_t growth_interval = 2000;
  bool enabled = true;  ///< false: scale() returns the loss, step() is the optimizer's, the rest nothing
};

/// What a GradScaler must know to go on in another run.
struct GradScalerState {
  double scale = 65536;
  double growth = 2;
  double backoff = 0.5;
  std::int64_t growth_interval = 2000;
  std::int64_t good_steps = 0;  ///< since the last change of the scale

  bool operator==(const GradScalerState&) const = default;
};

/// How much of a parameter's scaled gradient a half type cannot, or hardly, express.
struct GradUnderflow {
  std::size_t parameter = 0;  ///< its place in the optimizer
  std::int64_t elements = 0;
  std::int64_t zeros = 0;
  std::int64_t subnormal = 0;   ///< below the smallest normal number, but not 0
  std::int64_t not_finite = 0;  ///< what step() would be skipped for
  double fraction() const {
    return elements == 0 ? 0 : static_cast<double>(zeros + subnormal) / static_cast<double>(elements);
  }
};

/// The scale lies on the device of the first loss, and so must the parameters. Between two update() each optimizer goes
/// from ready over unscaled (unscale(), optional) to stepped; any other order is a GradError.
class GradScaler {
 public:
  /// Throws ConfigError for numbers that make no sense.
  explicit GradScaler(const GradScalerOptions& options = {});

  /// loss * scale. GradError when it depends on parameters that are updated during backward.
  Tensor scale(const Tensor& loss);
  /// Divides the gradients by the scale, to look at them or clip them before step(). GradError for float16 gradients:
  /// there the division would lose what the scale has saved.
  void unscale(Optimizer& optimizer);
  /// The optimizer's step on the unscaled gradients, or nothing at all when one of them is not finite: which of the two
  /// is decided on the device. Gradients that unscale() has not seen keep their scale.
  void step(Optimizer& optimizer);
  /// Adapts the scale, after all optimizers have stepped.
  void update();

  bool enabled() const { return enabled_; }
  /// The scale; waits for the device. 1 when disabled.
  double factor() const;
  GradScalerState state() const;
  /// Goes on from there; throws ConfigError as the constructor does, GradError between scale() and update().
  void load(const GradScalerState& state);

  /// For every parameter with a gradient; reads all of it. After scale(loss).backward(), before unscale().
  std::vector<GradUnderflow> underflow(const Optimizer& optimizer, DType half = DType::float16) const;

 private:
  enum class Stage : std::uint8_t { ready, unscaled, stepped };
  struct Progress {
    Stage stage = Stage::ready;
    Array found;
  };

  void make_scale(const Device& device);
  std::vector<Array> gradients_of(const char* op, const Optimizer& optimizer) const;
  Stage stage_of(const Optimizer& optimizer) const;
  Array look(const char* op, const Optimizer& optimizer, bool divide) const;

  bool enabled_;
  GradScalerState start_;  ///< until there is a device
  ScaleRule rule_;
  Array scale_, good_steps_;
  std::map<const Optimizer*, Progress> progress_;
};

}  // namespace mnemo::optim
