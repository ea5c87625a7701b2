// Backend: one device. What it decides needs no device (Decisions); what it fills are families of operations.
// Callers have checked shapes and dtypes and allocated every output and workspace: a backend only fills.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <mnemo/core/array.h>
#include <mnemo/core/decisions.h>
#include <mnemo/core/functors.h>
#include <mnemo/core/host_device.h>
#include <mnemo/core/recurrent.h>
#include <mnemo/core/resampling.h>
#include <mnemo/core/sorting.h>
#include <mnemo/core/update_numbers.h>
#include <mnemo/memory/allocator.h>

namespace mnemo {

enum class ReduceOp : std::uint8_t { sum, max, min };

/// A seeded run of random numbers: element i of the output gets number i of the Philox stream (seed, offset).
struct RandomCall {
  enum class Kind : std::uint8_t { uniform, normal, integer } kind = Kind::uniform;
  double low = 0;   ///< uniform: low <= x < high (uniform_limits); integer: the same; normal: mean
  double high = 1;  ///< normal: standard deviation
  std::uint64_t seed = 0;
  std::uint64_t offset = 0;
  Array shift = {};  ///< int64, one element on the device: is added to the offset; or undefined (Capture::random_shift)
};

/// y_i = x_i / (1 - p) where number i of the Philox stream is at least p, else 0. Its own gradient.
struct DropoutCall {
  double p = 0.5;
  std::uint64_t seed = 0;
  std::uint64_t offset = 0;
  Array shift = {};  ///< as in RandomCall
};

/// out (B, M, N) = scale * a (B, M, K) * b (B, K, N) [+ bias (N)], rounded once, or the product is added to it; any
/// strides, batch stride 0 allowed in a and b; out dense in (M, N).
struct MatmulCall {
  Array a, b, out;
  bool accumulate = false;
  double scale = 1;
  Array bias = {};       ///< of any stride; or undefined, as it is when accumulating
  Array workspace = {};  ///< uint8 of Decisions::matmul_workspace bytes, or undefined when that is 0
};

/// One pass of one convolution; all arrays dense in `layout` and of the problem's dtype.
/// forward: x, w, bias? -> y, relu?.  data_gradient: y (its gradient), w -> x.  weight_gradient: x, y (its gradient) ->
/// w.
struct ConvCall {
  ConvProblem problem;
  ConvPass pass = ConvPass::forward;
  ConvPlan plan;
  ConvLayout layout = ConvLayout::contiguous;
  Array x, w, y;
  Array bias;         ///< (out_channels) or undefined
  bool relu = false;  ///< of the forward pass: what is below 0 becomes 0
  Array workspace;    ///< uint8 of plan.workspace bytes, or undefined when that is 0
};

/// Pooling over windows; three-dimensional like ConvProblem. Arrays are (planes, sizes, inner) without gaps: row-major
/// images are batch * channels planes, channels-last ones `batch` planes with `inner` channels at every place.
struct PoolProblem {
  enum class Kind : std::uint8_t { max, average } kind = Kind::max;
  std::int64_t planes = 1, inner = 1;
  Size3 in{1, 1, 1};
  Size3 kernel{1, 1, 1};
  Size3 out{1, 1, 1};
  Size3 stride{1, 1, 1};
  Size3 padding{0, 0, 0};
  Size3 dilation{1, 1, 1};
  bool count_include_pad = true;  ///< average: the divisor counts padding

  /// The dtype of a maximum's place in its window: uint8 where the window has at most 256 places, else int32.
  DType offset_dtype() const { return kernel[0] * kernel[1] * kernel[2] <= 256 ? DType::uint8 : DType::int32; }
};

/// Batch normalization over (N, C, inner), row-major (channels-last arrays are N * sizes points of C); statistics,
/// weight and bias have C elements, float64 for float64 x and float32 otherwise. y follows from the mean and the
/// inverse deviation as they are when rounded to that dtype, so that normalizing once more with given ones gives the
/// same bits. With a residual and relu, y is what separate operations would give: each result is rounded to the dtype
/// of x.
struct NormalizeCall {
  std::int64_t batch = 1, channels = 1, inner = 1;
  double epsilon = 1e-5;
  double momentum = 0.1;
  bool training = true;   ///< statistics of this batch (and running ones updated), or the running ones
  bool given = false;     ///< statistics are `mean` and `inverse_deviation` instead; running ones are not touched
  bool relu = false;      ///< what would be below 0 is 0
  Array x, weight, bias;  ///< weight and bias may be undefined
  Array residual = {};    ///< like x: is added to what is normalized; or undefined
  Array running_mean, running_variance;  ///< may be undefined when training or given
  Array y;
  Array mean, inverse_deviation;  ///< what the gradient needs; written unless given (in evaluation: where defined)
};

/// Gradient of NormalizeCall: from `grad` (N, C, inner) to dx, dweight, dbias (each may be undefined: not wanted).
struct NormalizeGradientCall {
  std::int64_t batch = 1, channels = 1, inner = 1;
  bool training = true;
  bool relu = false;  ///< grad counts where y was above 0: found again from x, weight and bias, or in `y`
  Array grad, x, weight, bias = {};  ///< weight and bias may be undefined; bias is read with relu alone
  Array mean, inverse_deviation;     ///< as saved; in evaluation those of the running statistics
  Array y = {};                      ///< with relu after a residual was added: the result
  Array dx, dweight, dbias;
  Array dresidual = {};  ///< grad where it counts, and maybe the memory of grad. Defined where y is.
};

/// Row-major elements as rows, each of which is brought to mean 0 and variance 1 (or just to mean square 1), and as
/// (batch, channels, inner), of which each channel has a weight and a bias. A row is whole channels, or all rows begin
/// with channel 0.
struct RowNormSizes {
  std::int64_t rows = 1, features = 1;
  std::int64_t channels = 1, inner = 1;

  /// The channel of a row's first element.
  MNEMO_HOST_DEVICE std::int64_t first_channel(std::int64_t row) const {
    return features == channels * inner ? 0 : row * (features / inner) % channels;
  }
  /// Rows of a sample of the batch: one after the other they have all of its channels.
  MNEMO_HOST_DEVICE std::int64_t groups() const {
    return features == channels * inner ? 1 : channels / (features / inner);
  }
  MNEMO_HOST_DEVICE std::int64_t batch() const { return rows / groups(); }
};
/// Weight and bias may be undefined; otherwise both are of x's dtype, or both of the one that it is computed in.
struct RowNormCall {
  RowNormSizes sizes;
  double epsilon = 1e-5;
  Array x, weight, bias;
  Array y, mean, inverse_deviation;  ///< the last two of each row, as the gradient needs them
  bool centered = true;              ///< else means are taken to be 0, and `mean` is undefined

  DType numbers_dtype() const { return weight.defined() ? weight.dtype() : bias.defined() ? bias.dtype() : x.dtype(); }
};
/// The gradients with respect to x, weight and bias, each undefined where nobody wants it; dx may be the memory of
/// `grad`. Weight, which dx alone needs, as in RowNormCall; where dbias alone is wanted, x and what is known of its
/// rows may be undefined.
struct RowNormGradientCall {
  RowNormSizes sizes;
  Array grad, x, weight, mean, inverse_deviation;
  Array dx, dweight = {}, dbias = {};  ///< the last two of any floating dtype
  bool centered = true;

  DType numbers_dtype() const { return weight.defined() ? weight.dtype() : grad.dtype(); }
};

/// Softmax over the middle of (outer, size, inner), or its logarithm.
struct SoftmaxCall {
  std::int64_t outer = 1, size = 1, inner = 1;
  bool logarithm = false;
  /// Forward, causal where `rows` is not 0 (inner is 1 then): of line r of every `rows` lines the first
  /// `first + r + 1` elements count, at most `size`; the result of the others is 0.
  std::int64_t rows = 0, first = 0;

  /// How many elements of a line count.
  MNEMO_HOST_DEVICE std::int64_t counted(std::int64_t line) const {
    if (rows == 0) return size;
    const std::int64_t seen = first + line % rows + 1;
    return seen < size ? seen : size;
  }
};

/// Of every row (rows, size) of x the places of its first elements in order, smallest or largest first; equal ones as
/// they come, NaN as the largest. x and indices row-major; no size is 0.
struct SortCall {
  SortSizes sizes;
  bool descending = false;
  Array x;
  Array indices;         ///< (rows, count), int64
  Array workspace = {};  ///< uint8 of Decisions::sort_workspace bytes, or undefined when that is 0
};

/// Cross entropy of logits (outer, classes, inner) against class indices (outer, inner) int64.
/// A target equal to `ignore_index` counts for nothing; any other outside 0..classes-1 is an error, found by
/// `first_bad_index`.
struct CrossEntropyCall {
  std::int64_t outer = 1, classes = 1, inner = 1;
  double label_smoothing = 0;
  std::int64_t ignore_index = -100;
  double scale = 1;  ///< what the gradient of every loss is multiplied by
  /// (classes), row-major and of the losses' dtype: how much each class counts, wherever its logarithm does; or
  /// undefined: each counts 1.
  Array weight = {};
  /// Forward, with a weight, or undefined: like the losses; gets the weight of every target, 0 where it is ignored.
  Array target_weights = {};
  /// Gradient, with a weight and label smoothing: of the losses' dtype, one element, the sum of the weights.
  Array weight_sum = {};
};

/// One optimizer step over many parameters in one pass without temporaries. Moments have the parameter's shape;
/// all arrays of a slot are dense with the same strides (on axes of size 1 they do not matter).
struct UpdateSlot {
  Array parameter, gradient, first,
      second;  ///< first: momentum or first moment; second: second moment; undefined where unused
  /// Moments of Adam that are uint8 are codes (core/dynamic_map.h): these are the largest magnitudes, float32, one for
  /// each kMomentBlock elements in the order of memory. Undefined otherwise.
  Array first_largest = {}, second_largest = {};
  /// int32, one element: how many of the parameter's steps `found` has skipped; or undefined.
  Array skipped = {};
  /// Of a half type, or undefined: gets the new values of the parameter, which is float32 then.
  Array half = {};
};
inline constexpr std::int64_t kMomentBlock = 2048;
struct UpdateCall : UpdateNumbers {
  // loss scaling; float32, one element each, on the device: a step that is skipped is never waited for
  Array scale = {};  ///< gradients are divided by it; undefined: they are taken as they are
  Array found = {};  ///< not 0: the step is counted in every slot's `skipped`, and changes nothing else
  // a step that is repeated (core/capture.h); one element each, on the device, or undefined
  Array later = {};  ///< int64: is added to `count`
  Array rate = {};   ///< float64: takes the place of `lr`
};

/// How a loss scale follows what was found: `scale *= backoff` where something was not finite, `scale *= growth` after
/// `interval` good steps in a row (unless that overflows).
struct ScaleRule {
  double growth = 2, backoff = 0.5;
  std::int64_t interval = 2000;
};

/// One device. Arrays given to a family are on this device; `out` arrays may be strided unless said otherwise.
class Backend {
 public:
  Backend(std::string name, std::unique_ptr<memory::Source> source, const memory::AllocatorConfig& config,
          std::shared_ptr<const Decisions> decisions)
      : name_(std::move(name)), allocator_(std::move(source), config, name_), decisions_(std::move(decisions)) {}
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  const std::string& name() const { return name_; }
  memory::CachingAllocator& allocator() { return allocator_; }
  const Decisions& decisions() const { return *decisions_; }
  /// How many convolution passes ran so far, and of how many the workspace is only estimated (ConvPlan::estimated).
  std::int64_t conv_passes() const { return conv_passes_; }
  std::int64_t estimated_plans() const { return estimated_plans_; }
  void count(const ConvPlan& plan) {
    ++conv_passes_;
    if (plan.estimated) ++estimated_plans_;
  }
  virtual bool is_virtual() const = 0;
  /// A GPU's name as its maker writes it; "" for other devices.
  virtual std::string title() const { return {}; }
  /// Waits until everything that is queued is done.
  virtual void synchronize() = 0;

  /// The stream in which this thread queues work here (core/stream.h).
  memory::StreamId current_stream() const;
  /// One more stream; 0, the only one, where work is done at once.
  virtual memory::StreamId new_stream() { return 0; }
  /// One that nobody else has until it is given back: one that was given back before, or a new one (StreamLease).
  memory::StreamId lend_stream();
  void give_back(memory::StreamId stream) noexcept;
  /// What is queued in `waiting` from now on begins when what is queued in `awaited` now is done.
  virtual void wait(memory::StreamId /*waiting*/, memory::StreamId /*awaited*/) {}

  /// Whether work can be recorded and repeated (core/capture.h).
  virtual bool can_capture() const { return false; }
  /// From here on work that is queued in the current stream is recorded instead of done, until `end_capture`, which
  /// gives the recording, never null; `repeat` queues it in the current stream.
  virtual void begin_capture() {}
  virtual std::shared_ptr<void> end_capture() { return {}; }
  virtual void repeat(void* /*recording*/) {}

  /// Moves a row-major array's bytes to or from host memory; from a virtual device come NaNs (zeros for integers).
  virtual void read(const Array& from, void* host) = 0;
  virtual void write(const void* host, const Array& to) = 0;

  // map: out has the broadcast shape; inputs are expanded to it (stride 0); out may be the same memory as an input.
  virtual void unary(UnaryOp op, const Scalars& scalars, const Array& x, const Array& out) = 0;
  /// `saved` is the input or the output of the forward pass, as the functor says.
  virtual void unary_gradient(UnaryOp op, const Scalars& scalars, const Array& grad, const Array& saved,
                              const Array& out) = 0;
  virtual void binary(BinaryOp op, const Array& a, const Array& b, const Array& out) = 0;
  virtual void compare(CompareOp op, const Array& a, const Array& b, const Array& out) = 0;  ///< out: boolean
  /// out = a where `condition` (boolean) is true, else b, as they are: of one dtype and shape, any strides, and maybe
  /// in the memory of a or b in the same layout.
  virtual void choose(const Array& condition, const Array& a, const Array& b, const Array& out) = 0;
  virtual void copy(const Array& from, const Array& to) = 0;  ///< same shape; casts
  virtual void fill(const Array& out, double value) = 0;
  /// bits (uint8): bit i % 8 of byte i / 8 says whether element i of x, in the order of memory, is above 0; x dense.
  virtual void sign_bits(const Array& x, const Array& bits) = 0;
  /// out = x where its bit is set, else 0; both dense with the same strides, and maybe the same memory.
  virtual void keep_bits(const Array& x, const Array& bits, const Array& out) = 0;
  virtual void random(const RandomCall& call, const Array& out) = 0;                    ///< out row-major
  virtual void dropout(const DropoutCall& call, const Array& x, const Array& out) = 0;  ///< both row-major

  /// out has size 1 along every axis of `axes` (a bit each); the result is multiplied by `scale`.
  virtual void reduce(ReduceOp op, const Array& x, unsigned axes, double scale, const Array& out) = 0;
  /// The place of the largest, or the `smallest`, element; out: int64, size 1 along axis; ties: the first; NaN wins.
  virtual void arg_max(const Array& x, int axis, bool smallest, const Array& out) = 0;
  /// out = the sum of x along an axis up to every element, or from it to the end where `reverse`; both row-major and of
  /// one dtype, floating-point or int64. Floating-point ones are added up in float64.
  virtual void cumsum(const Array& x, int axis, bool reverse, const Array& out) = 0;
  virtual void sort(const SortCall& call) = 0;

  virtual void matmul(const MatmulCall& call) = 0;
  virtual void conv(const ConvCall& call) = 0;
  virtual void pool(const PoolProblem& problem, const Array& x, const Array& y, const Array& offsets) = 0;
  virtual void pool_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Array& dx) = 0;
  /// Every element of y is a weighted sum of elements of x; in the gradient of those of `grad` that it counts for.
  virtual void resample(const ResampleProblem& problem, const Array& x, const Array& y) = 0;
  virtual void resample_gradient(const ResampleProblem& problem, const Array& grad, const Array& dx) = 0;
  virtual void normalize(const NormalizeCall& call) = 0;
  virtual void normalize_gradient(const NormalizeGradientCall& call) = 0;
  virtual void row_norm(const RowNormCall& call) = 0;
  virtual void row_norm_gradient(const RowNormGradientCall& call) = 0;
  virtual void recurrent_step(const RecurrentCall& call) = 0;
  virtual void recurrent_step_gradient(const RecurrentGradientCall& call) = 0;
  virtual void softmax(const SoftmaxCall& call, const Array& x, const Array& y) = 0;
  virtual void softmax_gradient(const SoftmaxCall& call, const Array& grad, const Array& y, const Array& dx) = 0;
  /// losses: (outer, inner), float64 for float64 logits and float32 otherwise.
  virtual void cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets,
                             const Array& losses) = 0;
  /// dlogits = gradient of every loss times `call.scale` and `grad` of the losses' dtype: (outer, inner), or one
  /// element for all.
  virtual void cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                                      const Array& targets, const Array& dlogits) = 0;
  /// The first of `indices` (int64, row-major) outside 0..limit-1 and other than `ignore`; nothing on a virtual device,
  /// and while a step is recorded. A device whose values the host has to wait for looks at Storage::integers first.
  virtual std::optional<std::int64_t> first_bad_index(const Array& indices, std::int64_t limit,
                                                      std::int64_t ignore) = 0;

  /// out[i][j][k] = x[i][index[i][j][k]][k] over (outer, size, inner); index int64, row-major like the rest, or a
  /// number for each j, expanded to the same shape.
  virtual void gather(const Array& x, int axis, const Array& index, const Array& out) = 0;
  /// out[i][index[i][j][k]][k] += x[i][j][k], in order of j.
  virtual void scatter_add(const Array& x, int axis, const Array& index, const Array& out) = 0;
  virtual void update(const UpdateCall& call, std::span<const UpdateSlot> slots) = 0;

  /// Gradients (dense) are divided by `scale` (undefined: left alone); found = 1 where any element is not finite.
  /// scale, found: float32, one element.
  virtual void unscale(std::span<const Array> gradients, const Array& scale, const Array& found) = 0;
  /// scale, found: float32, good_steps: int32, one element each.
  virtual void update_scale(const ScaleRule& rule, const Array& found, const Array& scale, const Array& good_steps) = 0;
  /// out (float32, one element) = (sum of |x|^p)^(1/p) over all elements of all arrays (dense); p infinite: the
  /// largest.
  virtual void norm(std::span<const Array> arrays, double p, const Array& out) = 0;

 private:
  std::string name_;
  memory::CachingAllocator allocator_;
  std::shared_ptr<const Decisions> decisions_;
  std::atomic<std::int64_t> conv_passes_{0}, estimated_plans_{0};
  std::mutex idle_mutex_;
  std::vector<memory::StreamId> idle_streams_;  ///< of those that were lent; has room for all of them
  std::size_t lent_streams_ = 0;                ///< ever
};

}  // namespace mnemo
