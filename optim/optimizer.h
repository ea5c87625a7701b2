// Optimizers: they take a list of parameters and change them from their gradients. State is made at the first step.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mnemo/autograd/tensor.h>
#include <mnemo/core/backend.h>

namespace mnemo {
class Capture;
}

namespace mnemo::optim {

/// What a GradScaler knows of the gradients; float32, one element each, on their device.
struct Scaling {
  Array scale;  ///< they are multiplied by it; undefined: they are not
  Array found;  ///< not 0: something is not finite, and the step is skipped; undefined: nothing is known
};

/// The base of every optimizer: the parameters, their state, and the step in one fused pass without temporaries.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Changes every parameter that has a gradient; where none has one, a warning says so once. Missing state is
  /// allocated before anything is changed, so that an OutOfMemory leaves parameters and state as they were. GradError
  /// while a StepInBackward lives.
  void step();
  /// The same with scaled gradients, as a GradScaler asks for it: whether the step happens is decided on the device.
  void step(const Scaling& scaling);
  /// Drops the gradients' memory, or fills it with zeros.
  void zero_grad(bool set_to_none = true);

  /// How many steps have changed a parameter; waits for the device where a scaler may have skipped some.
  std::int64_t steps(std::size_t parameter) const;
  /// A StepInBackward lives: parameters change, and gradients go, during backward.
  bool steps_in_backward() const { return in_backward_; }

  static constexpr double kMostRate = 1e300;
  double lr() const { return lr_; }
  /// Throws ConfigError when negative, above kMostRate or not a number; GradError in a step that is being recorded
  /// (StepGraph), whose repetitions take the rate that was set before them. Rates that change: schedule.h.
  void set_lr(double lr);
  const std::vector<Tensor>& parameters() const { return parameters_; }

  /// Writes what the next step depends on besides parameters and options: moments, master weights, the count of each
  /// parameter's steps, and lr, in the safetensors format; parameters go by their number ("3.first_moment"). The file
  /// takes the place of one that is there when it is complete. Waits for the device. Throws DeviceError on a virtual
  /// device, ShapeError for moments of 8 bits of a parameter that is not row-major, and FileError.
  void save(const std::string& path, const std::map<std::string, std::string>& metadata = {}) const;
  /// Goes on from there, bit for bit: after the model's own values were loaded, which master weights would follow
  /// otherwise. State that is there keeps its memory, so that recorded steps go on with it; moments are cast between
  /// floating dtypes. On a virtual device memory is taken and steps are counted, no values. Throws FileError that names
  /// everything that does not fit, and OutOfMemory; an error changes nothing.
  void load(const std::string& path);

 protected:
  /// Throws ConfigError without parameters; GradError for one that requires no gradient, or comes twice; ShapeError for
  /// a view with gaps.
  /// `master_weights`: a parameter of a half type has a float32 copy, in which the step is taken, and float32 moments;
  /// its own values are the copy's, rounded in the same pass.
  Optimizer(std::vector<Tensor> parameters, double lr, bool master_weights);

  /// How many moments a parameter has: 0, 1 or 2.
  virtual int moments() const = 0;
  /// Whether the moments of a parameter are codes of 8 bits, with one float32 for each kMomentBlock of them.
  virtual bool in_8_bits(const Array& /*parameter*/) const { return false; }
  /// The numbers of the update for parameters that are at their `count`-th step (1: the first).
  virtual UpdateCall call(std::int64_t count) const = 0;

 private:
  friend class StepInBackward;

  struct State {
    Array first, second, first_largest, second_largest;
    Array master;               ///< the float32 copy of a half parameter
    bool is_current = false;    ///< while a change is counted: whether the copy was the same before
    std::uint32_t version = 0;  ///< of the parameter's storage, when the copy was last the same
    std::int64_t steps = 0;     ///< the skipped ones counted
    Array skipped;              ///< on the device, once a scaled step was asked for; see UpdateSlot
    bool stepped = false;       ///< in backward, since zero_grad()
  };
  using Missing = std::vector<std::pair<Array*, Array>>;  ///< new state, and where it belongs

  /// Parameters of which a step, their `count`-th, is recorded: it is counted with every repetition. Gives where their
  /// later steps are counted on the device.
  Array record_in(Capture& capture, std::span<const std::size_t> which, std::int64_t count);
  /// What parameters with a gradient lack.
  Missing missing_state(std::span<const std::size_t> which, bool scaled);
  /// What this parameter lacks of its moments and copy.
  void add_missing(std::size_t parameter, Missing& missing);
  /// An array of a parameter's state by its name in a file: {"first_moment", &state.first}.
  struct Part {
    const char* name;
    Array State::*array;
  };
  static std::span<const Part> parts();
  /// Whether this optimizer keeps it for a parameter that has stepped.
  bool keeps(const Part& part, const Array& parameter) const;
  bool has_master(const Array& parameter) const { return master_weights_ && is_half(parameter.dtype()); }
  /// Whether a float32 copy is there, and others have changed the parameter since the last step.
  bool is_stale(std::size_t parameter) const;
  /// Float32 copies follow parameters that were changed by others since the last step.
  void refresh_masters(std::span<const std::size_t> which);
  /// Counts a change of these parameters' storages. Copies that were current are so afterwards, also those of other
  /// parameters in the same storages.
  void mark_changed(std::span<const std::size_t> which);
  void step(std::span<const std::size_t> which, const Scaling& scaling);
  std::vector<std::size_t> all() const;

  std::vector<Tensor> parameters_;
  std::vector<State> states_;
  double lr_;
  bool master_weights_;
  Array rate_;  ///< the same on the device, float64: for steps that are recorded (core/capture.h)
  bool in_backward_ = false;
  bool told_ = false;  ///< that a step found no gradient
};

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
  bool master_weights = false;  ///< as Adam's
};

/// Stochastic gradient descent; with momentum it keeps one value per parameter.
class SGD final : public Optimizer {
 public:
  explicit SGD(std::vector<Tensor> parameters, SGDOptions options = {});

 private:
  int moments() const override { return options_.momentum != 0 ? 1 : 0; }
  UpdateCall call(std::int64_t count) const override;
  SGDOptions options_;
};

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool maximize = false;
  /// Parameters of a half type have a float32 copy, in which the step is taken, and float32 moments; their own values
  /// are the copy's, rounded in the same pass: 12 bytes of state per value. Changes from elsewhere are taken over.
  bool master_weights = false;
};

/// Adam (Kingma and Ba, 2014): two values per parameter, of the parameter's dtype. Weight decay is added to the
/// gradient. Without master weights the second moment of float16 parameters underflows for gradients below about 0.005.
class Adam : public Optimizer {
 public:
  explicit Adam(std::vector<Tensor> parameters, AdamOptions options = {});

 protected:
  int moments() const final { return 2; }
  UpdateCall call(std::int64_t count) const override;

 private:
  AdamOptions options_;
};

/// Adam whose moments are 8 bits each, with a float32 for each 2048 of them (Dettmers et al., arXiv 2110.02861):
/// about 2 bytes of state per value instead of 8. Parameters of fewer than 4096 values keep moments as Adam does.
class Adam8bit final : public Adam {
 public:
  static constexpr std::int64_t kSmallest = 4096;
  using Adam::Adam;

 private:
  bool in_8_bits(const Array& parameter) const override { return parameter.numel() >= kSmallest; }
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  bool maximize = false;
  bool master_weights = false;  ///< as Adam's
};

/// Adam with weight decay that shrinks the parameter itself (Loshchilov and Hutter, 2017).
class AdamW final : public Adam {
 public:
  explicit AdamW(std::vector<Tensor> parameters, AdamWOptions options = {});

 private:
  UpdateCall call(std::int64_t count) const override;
};

}  // namespace mnemo::optim
