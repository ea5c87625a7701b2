// A convolution as numbers: the problem, the ways to solve it, and the policy that chooses among them.
// Every convolution is three-dimensional here; 1-D and 2-D ones have leading sizes of 1.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <mnemo/core/dtype.h>
#include <mnemo/memory/bytes.h>

namespace mnemo {

using Size3 = std::array<std::int64_t, 3>;  ///< depth, height, width

/// One number per spatial dimension: `3` for all of them, or `{1, 3, 3}`.
class Extent {
 public:
  Extent(std::int64_t all) : values_{all, all, all} {}
  Extent(std::initializer_list<std::int64_t> values) : count_(static_cast<int>(values.size())) {
    std::copy_n(values.begin(), std::min<std::size_t>(values.size(), 3), values_.begin());
  }

  /// How many were given; 0: one for all dimensions.
  int count() const { return count_; }
  std::int64_t operator[](int axis) const { return values_[static_cast<std::size_t>(axis)]; }

 private:
  std::array<std::int64_t, 3> values_{};
  int count_ = 0;
};

/// Zeros around the input: `1`, `{0, 1}`, or `"same"` (the output has the input's size; stride 1 only).
class Padding {
 public:
  Padding(std::int64_t all) : extent_(all) {}
  Padding(int all) : extent_(all) {}
  Padding(std::initializer_list<std::int64_t> values) : extent_(values) {}
  Padding(const char* word) : extent_(0), word_(word) {}

  const Extent& extent() const { return extent_; }
  /// "same", "valid" or "" (numbers were given); anything else is refused where it is used.
  std::string_view word() const { return word_; }

 private:
  Extent extent_;
  std::string_view word_;
};

class LatestPlans;

/// What a convolution is told besides its arrays.
struct ConvOptions {
  Extent stride = 1;
  Padding padding = 0;
  Extent dilation = 1;
  std::int64_t groups = 1;
  LatestPlans* plans = nullptr;  ///< of the layer that calls, in a shared_ptr; or null (core/planning/latest_plans.h)
};

/// What pooling is told. `stride` 0 means the kernel's size.
struct PoolOptions {
  Extent kernel = 2;
  Extent stride = 0;
  Extent padding = 0;
  Extent dilation = 1;
  bool ceil_mode = false;         ///< a last window may reach over the edge
  bool count_include_pad = true;  ///< average pooling: padding counts in the divisor
};

/// x (N, C, in...) * w (K, C/groups, kernel...) -> y (N, K, out...)
struct ConvProblem {
  std::int64_t batch = 1;
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t groups = 1;
  Size3 in{1, 1, 1};
  Size3 kernel{1, 1, 1};
  Size3 out{1, 1, 1};
  Size3 stride{1, 1, 1};
  Size3 padding{0, 0, 0};  ///< before the first element; what lies behind the last one follows from `out`
  Size3 dilation{1, 1, 1};
  DType dtype = DType::float32;
  int spatial_rank = 2;  ///< 1, 2 or 3: which of the sizes the caller gave

  /// All numbers at once, without a branch for each: every convolution of a layer compares two of them.
  friend bool operator==(const ConvProblem& a, const ConvProblem& b) {
    std::int64_t differences = (a.batch ^ b.batch) | (a.in_channels ^ b.in_channels) |
                               (a.out_channels ^ b.out_channels) | (a.groups ^ b.groups);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      differences |= (a.in[axis] ^ b.in[axis]) | (a.kernel[axis] ^ b.kernel[axis]) | (a.out[axis] ^ b.out[axis]) |
                     (a.stride[axis] ^ b.stride[axis]) | (a.padding[axis] ^ b.padding[axis]) |
                     (a.dilation[axis] ^ b.dilation[axis]);
    }
    return differences == 0 && a.dtype == b.dtype && a.spatial_rank == b.spatial_rank;
  }
};

enum class ConvPass : std::uint8_t { forward, data_gradient, weight_gradient };
const char* name(ConvPass pass);

/// How the operands lie in memory: (N, C, sizes) row-major, or with the channels innermost.
enum class ConvLayout : std::uint8_t { contiguous, channels_last };
const char* name(ConvLayout layout);

enum class ConvAlgorithm : std::uint8_t {
  direct,   ///< no workspace
  gemm,     ///< one image at a time is unfolded into a workspace, then multiplied as a matrix
  library,  ///< an engine of the card's own library: `ConvPlan::engine`
  split,    ///< nothing takes it whole: `ConvPlan::step` of the axis at a time, each with a plan of its own
};
const char* name(ConvAlgorithm algorithm);

/// How one pass of one convolution will be computed.
struct ConvPlan {
  /// What is cut: images, or the first spatial size (of the input for the data gradient, else of the output).
  enum class Axis : std::uint8_t { batch, depth };

  ConvAlgorithm algorithm = ConvAlgorithm::direct;
  memory::Bytes workspace = 0;
  bool estimated = false;   ///< the workspace is not known to be that of the real device
  const char* engine = "";  ///< of the library, such as "eng28_k2=1"; valid as long as the process
  Axis axis = Axis::batch;  ///< algorithm split
  std::int64_t step = 0;    ///< algorithm split: the size of each piece but the last
  /// Where the device keeps what it built for this plan; null where the plan is not remembered. As long as its
  /// decisions.
  std::atomic<const void*>* built = nullptr;
};

/// Which plan is taken among those that a device has.
struct ConvPolicy {
  enum class Choice : std::uint8_t {
    automatic,      ///< the first deterministic one; on a CPU the one that is expected to be fastest
    heuristic,      ///< the library's favourite: the first that can be finalized
    deterministic,  ///< the first that gives the same bits in every run
    engine,         ///< the first of the named engine; `automatic` where that is not ranked
    pytorch,  ///< as PyTorch without benchmark mode: heuristic, contiguous, TF32 allowed, gemm from 2^31 elements on
    direct,   ///< mnemo's own, without workspace
    gemm,     ///< mnemo's own over an unfolded matrix
    fastest,  ///< the one that takes the least time, by running them all: on a GPU alone
  };

  Choice choice = Choice::automatic;
  memory::Bytes workspace_limit = std::numeric_limits<memory::Bytes>::max();
  /// float32 may be rounded to TF32 on tensor cores, in convolutions and (but not with `pytorch`) in matrix products.
  bool allow_tf32 = false;
  std::optional<ConvLayout> layout = {};  ///< unless given, the device's own: channels-last for half types on a GPU
  std::string engine = {};                ///< a whole name, "eng28_k2=1", or a number for any knobs, "eng28"

  bool operator==(const ConvPolicy&) const = default;
};

/// Reads "auto", "heuristic", "workspace<=64MiB", "zero-workspace", "deterministic", "eng28...", "pytorch", "direct",
/// "gemm" or "fastest"; a limit may stand behind a comma: "deterministic,workspace<=64MiB". Throws ConfigError.
ConvPolicy parse_conv_policy(std::string_view text);
/// What `parse_conv_policy` reads; TF32 and the layout are not part of it.
std::string describe(const ConvPolicy& policy);

/// The policy of convolutions on this thread.
ConvPolicy& conv_policy();

/// Takes another policy until the end of the scope.
class ConvPolicyScope {
 public:
  explicit ConvPolicyScope(ConvPolicy policy) : before_(conv_policy()) { conv_policy() = policy; }
  ~ConvPolicyScope() { conv_policy() = before_; }
  ConvPolicyScope(const ConvPolicyScope&) = delete;
  ConvPolicyScope& operator=(const ConvPolicyScope&) = delete;

 private:
  ConvPolicy before_;
};

/// Bytes of the matrix that `gemm` unfolds: (C / groups) * kernel volume * output voxels * element size. One image, one
/// group. Nothing is unfolded (0) where the matrix would be the image itself: kernel 1, stride 1, no padding.
memory::Bytes unfolded_bytes(const ConvProblem& problem);

}  // namespace mnemo
