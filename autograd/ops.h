// The operations on tensors, each with its gradient. Shapes are checked before anything happens; a ShapeError,
// DTypeError or DeviceError leaves everything as it was. Where an op is recorded, its doc says what it keeps for
// backward.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include <mnemo/autograd/number.h>
#include <mnemo/autograd/tensor.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/conv.h>

namespace mnemo {

// Arithmetic (ops_binary.cpp, ops_number.cpp). Shapes broadcast, dtypes promote; number.h says what a number's type
// does to that. Products and quotients of tensors keep both operands; with a number, 1 / x alone keeps something: x.
// Integers wrap around and divide as in C++, towards 0; by 0 they give 0.
Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor operator+(const Tensor& a, Number b);
Tensor operator-(const Tensor& a, Number b);
Tensor operator*(const Tensor& a, Number b);
Tensor operator/(const Tensor& a, Number b);
Tensor operator+(Number a, const Tensor& b);
Tensor operator-(Number a, const Tensor& b);
Tensor operator*(Number a, const Tensor& b);
Tensor operator/(Number a, const Tensor& b);
Tensor operator-(const Tensor& x);
/// The larger (smaller) of two; equal ones share the gradient.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);

// Comparisons (ops_compare.cpp): boolean, never recorded. Shapes broadcast, dtypes promote. What is not a number is not
// equal to anything.
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);
Tensor equal(const Tensor& a, Number b);
Tensor not_equal(const Tensor& a, Number b);
Tensor less(const Tensor& a, Number b);
Tensor less_equal(const Tensor& a, Number b);
Tensor greater(const Tensor& a, Number b);
Tensor greater_equal(const Tensor& a, Number b);
/// a where the boolean condition is true, else b; shapes broadcast, a and b promote. What is not chosen does not
/// matter, be it NaN; what is chosen is as it was, -0 too. Keeps the condition, as it is before it is broadcast.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, Number b);
Tensor where(const Tensor& condition, Number a, const Tensor& b);

// Element by element (ops_unary.cpp). What each keeps (input, output or nothing) stands at its functor in
// core/functors.h.
Tensor pow(const Tensor& x, double exponent);
Tensor abs(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor relu(const Tensor& x);
/// relu that keeps one bit per element, whether it is above 0, and not its output: less memory where no other operation
/// keeps that output (before a pooling), more where the next one does (before a convolution). Gradients are the same.
Tensor relu_bits(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double slope = 0.01);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor gelu(const Tensor& x);
/// gelu by a tanh in place of the normal distribution function, as GPT-2 has it; they differ by less than 0.0005.
Tensor gelu_tanh(const Tensor& x);
Tensor silu(const Tensor& x);
/// x min(max(x + 3, 0), 6) / 6.
Tensor hardswish(const Tensor& x);
/// x tanh(log(1 + exp(x))).
Tensor mish(const Tensor& x);
/// x, or x times the weight where it is not above 0: one number for all of x (N, C, ...), or (C) for its channels. The
/// result has x's dtype. Keeps x and the weight. (ops_prelu.cpp)
Tensor prelu(const Tensor& x, const Tensor& weight);
/// x, or alpha (exp(x) - 1) below 0, alpha not being negative.
Tensor elu(const Tensor& x, double alpha = 1);
/// log(1 + exp(beta x)) / beta with beta above 0, finite for every x.
Tensor softplus(const Tensor& x, double beta = 1);
Tensor clamp(const Tensor& x, double low, double high);
/// -1, 0 or 1; its gradient is 0.
Tensor sign(const Tensor& x);

// In place (ops_inplace.cpp): x keeps its memory. A GradError for a leaf that requires a gradient, while recording;
// backward notices values that it needed and that are gone.
Tensor& relu_(Tensor& x);
Tensor& relu_bits_(Tensor& x);
Tensor& sigmoid_(Tensor& x);
Tensor& tanh_(Tensor& x);
Tensor& add_(Tensor& x, const Tensor& y);
Tensor& sub_(Tensor& x, const Tensor& y);
Tensor& mul_(Tensor& x, const Tensor& y);
Tensor& add_(Tensor& x, Number y);
Tensor& mul_(Tensor& x, Number y);
Tensor& fill_(Tensor& x, double value);
Tensor& copy_(Tensor& x, const Tensor& from);

// Reductions (ops_reduce.cpp). Without axes: over all elements. Negative axes count from the end.
Tensor sum(const Tensor& x);
Tensor sum(const Tensor& x, std::initializer_list<int> axes, bool keep = false);
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, std::initializer_list<int> axes, bool keep = false);
/// Largest (smallest) of all, or along an axis; equal ones share the gradient. Keeps x and the result.
Tensor max(const Tensor& x);
Tensor min(const Tensor& x);
Tensor max(const Tensor& x, int axis, bool keep = false);
Tensor min(const Tensor& x, int axis, bool keep = false);
/// log of the sum of exp(x), finite wherever x is. Keeps x and the result. Half types are computed in float32.
Tensor log_sum_exp(const Tensor& x);
Tensor log_sum_exp(const Tensor& x, std::initializer_list<int> axes, bool keep = false);
/// The sum along an axis up to every element: 1, 2, 3 -> 1, 3, 6. Of integers int64. Keeps nothing. (ops_cumsum.cpp)
Tensor cumsum(const Tensor& x, int axis);
/// Mean of the squared deviations from the mean; the divisor is the number of elements less `correction` (0: of the
/// elements themselves; 1: an unbiased estimate of that of what they were drawn from). Keeps x. Half types are computed
/// in float32. Squares beyond the type that they are computed in are infinite, or 0.
Tensor variance(const Tensor& x);
Tensor variance(const Tensor& x, std::initializer_list<int> axes, bool keep = false, double correction = 1);
/// Its square root; keeps the result too. Its gradient is 0 where all elements are the same.
Tensor standard_deviation(const Tensor& x);
Tensor standard_deviation(const Tensor& x, std::initializer_list<int> axes, bool keep = false, double correction = 1);
/// Euclidean: the root of the sum of the squares; its gradient at 0 is 0. Keeps x and the result. Half types are
/// computed in float32.
Tensor norm(const Tensor& x);
Tensor norm(const Tensor& x, std::initializer_list<int> axes, bool keep = false);
/// Index of the first largest element; never recorded.
Tensor arg_max(const Tensor& x, int axis);

// Shapes (ops_shape.cpp). Views share memory and keep nothing.
Tensor reshape(const Tensor& x, const Dims& shape);
/// (N, C, D, H) -> (N, C*D*H): axes from `first_axis` to the last become one.
Tensor flatten(const Tensor& x, int first_axis = 1);
Tensor permute(const Tensor& x, const Dims& order);
Tensor transpose(const Tensor& x, int a, int b);
Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1);
/// What is at one place of an axis, without it: (N, L, C) -> (N, C) at the last of L with `select(x, 1, -1)`.
Tensor select(const Tensor& x, int axis, std::int64_t index);
Tensor expand(const Tensor& x, const Shape& shape);
Tensor squeeze(const Tensor& x, int axis);
Tensor unsqueeze(const Tensor& x, int axis);
Tensor contiguous(const Tensor& x);
/// The same values in memory of their own, in x's layout where that has no gaps.
Tensor clone(const Tensor& x);
/// What comes last along these axes comes first. Keeps a number for each place of them.
Tensor flip(const Tensor& x, std::initializer_list<int> axes);
Tensor concat(std::span<const Tensor> parts, int axis);
Tensor concat(std::initializer_list<Tensor> parts, int axis);
/// The same values in another dtype or on another device; x itself where that is so already.
Tensor to(const Tensor& x, DType dtype);
Tensor to(const Tensor& x, const Device& device);
/// Elements at `index` (int64) along an axis.
Tensor gather(const Tensor& x, int axis, const Tensor& index);

// Parts (ops_index.cpp).
/// Parts of one shape along a new axis before `axis`: n of (3, 4) -> (n, 3, 4) with axis 0. Keeps nothing.
Tensor stack(std::span<const Tensor> parts, int axis = 0);
Tensor stack(std::initializer_list<Tensor> parts, int axis = 0);
/// Views of these sizes along an axis, which add up to its own; or of one size, the last one maybe smaller. Keep
/// nothing; their gradients are added up in one array of x's size.
std::vector<Tensor> split(const Tensor& x, int axis, std::span<const std::int64_t> sizes);
std::vector<Tensor> split(const Tensor& x, int axis, std::initializer_list<std::int64_t> sizes);
std::vector<Tensor> split(const Tensor& x, int axis, std::int64_t size);
/// At most `count` views of one size, the last one maybe smaller: 4 of 10 are 3, 3, 3, 1; 4 of 5 are 2, 2, 1.
std::vector<Tensor> chunk(const Tensor& x, int axis, std::int64_t count);
/// How many elements come before and after those of an axis.
struct Pad {
  std::int64_t before = 0;
  std::int64_t after = 0;
};
/// `value` around x. As many of the last axes are padded as are given, in their order: `pad(images, {{1, 1}, {2, 2}})`
/// is 1 above and below, 2 left and right. Keeps nothing.
Tensor pad(const Tensor& x, std::span<const Pad> pads, double value = 0);
Tensor pad(const Tensor& x, std::initializer_list<Pad> pads, double value = 0);
/// Slices of x at `index` (n) int64 along an axis, which has size n then. Keeps the index.
Tensor index_select(const Tensor& x, int axis, const Tensor& index);
/// The reverse: x with the slices of `source` added at `index` (n) int64 along an axis, of which source has n. Those of
/// one place are added one after the other, in their order. Dtypes promote. Keeps the index, for source's gradient.
Tensor index_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source);
/// The reverse of gather, in the same way: every element of `source` is added to x at its index along an axis. The
/// index has source's shape, which is x's outside that axis (PyTorch takes smaller ones as well: slice x and source).
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source);
/// Rows of weight (count, features) at indices (...) int64: (..., features). Keeps the indices. The row `padding`
/// (negative: from the end) gets no gradient.
Tensor embedding(const Tensor& weight, const Tensor& indices, std::optional<std::int64_t> padding = {});

// By place (ops_triangle.cpp): x (..., M, N), or a mask of that size.
/// x up to the diagonal, or from it on, and 0 elsewhere. `diagonal` says how far above the main one it is. Keeps
/// booleans (M, N).
Tensor tril(const Tensor& x, std::int64_t diagonal = 0);
Tensor triu(const Tensor& x, std::int64_t diagonal = 0);
/// Booleans (queries, keys): query i is given keys 0 to i alone, as in AttentionOptions::causal, which needs no mask.
Tensor causal_mask(std::int64_t queries, std::int64_t keys, const Device& device = {});
/// indices (...) int64 from 0 to classes - 1 -> (..., classes): 1 at the index, 0 elsewhere. Never recorded.
/// (ops_compare.cpp)
Tensor one_hot(const Tensor& indices, std::int64_t classes, DType dtype = DType::int64);

// Products (ops_matmul.cpp). Keep both operands.
/// (..., M, K) x (..., K, N) -> (..., M, N), leading dimensions broadcast; a vector is a row on the left, a column on
/// the right.
Tensor matmul(const Tensor& a, const Tensor& b);
/// x (..., in) * weight (out, in) transposed + bias (out) -> (..., out); bias may be undefined.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

struct AttentionOptions {
  bool causal = false;               ///< query i is given keys 0 to i alone
  std::optional<double> scale = {};  ///< of the scores; 1 / sqrt(features) unless given
  double dropout = 0;                ///< of the weights, as dropout() does it, where `training`
  bool training = true;
};
/// softmax(q k' scale + mask) v (Vaswani et al., Attention Is All You Need, 2017): q (..., L, E), k (..., S, E),
/// v (..., S, V) -> (..., L, V), where `...` is nothing, (N) or (N, heads). The mask broadcasts to (..., L, S), and may
/// be undefined: boolean, whether a key counts for a query (a query without keys gets 0), or numbers that are added to
/// the scores. Keeps q, k, v and the mask: the weights (..., L, S) are there in parts of 2^22 elements, or one row,
/// with two or three more arrays of that size, and backward computes them once more. A mask of numbers has a gradient,
/// which is summed up part by part in an array of the mask's size. (ops_attention.cpp)
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask = {},
                                    const AttentionOptions& options = {});

// Convolution (ops_conv.cpp): x (N, C, sizes...), weight (K, C/groups, kernel...), bias (K) or undefined. Keeps x and
// the weight.
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {});
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {});
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {});
/// relu of these in one operation: on a GPU the convolution's own kernel adds the bias and does the relu, where its
/// library has such a one. Keeps the output too, which the next operation often keeps anyway, or with `keep_signs` one
/// bit for each of its elements, as relu_bits does.
Tensor conv1d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {},
                   bool keep_signs = false);
Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {},
                   bool keep_signs = false);
Tensor conv3d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {},
                   bool keep_signs = false);

/// What a transposed convolution is told besides its arrays.
struct ConvTransposeOptions {
  Extent stride = 1;          ///< how far apart the elements of the input come to lie
  Extent padding = 0;         ///< elements that the result lacks on either side
  Extent output_padding = 0;  ///< elements that it has more behind the last one; less than the stride
  Extent dilation = 1;
  std::int64_t groups = 1;
  LatestPlans* plans = nullptr;  ///< as for ConvOptions
};
// Transposed convolution (ops_conv_transpose.cpp): x (N, C, sizes...), weight (C, K/groups, kernel...), bias (K) or
// undefined -> (N, K, (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1, ...). It is the
// gradient of a convolution from that to x with these options and this weight. Keeps x and the weight.
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTransposeOptions& options = {});
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTransposeOptions& options = {});
Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTransposeOptions& options = {});

// Pooling (ops_pool.cpp): x (N, C, sizes...) or (C, sizes...). A maximum keeps one byte per output (its place in the
// window), an average nothing.
Tensor max_pool1d(const Tensor& x, const PoolOptions& options);
Tensor max_pool2d(const Tensor& x, const PoolOptions& options);
Tensor max_pool3d(const Tensor& x, const PoolOptions& options);
Tensor avg_pool1d(const Tensor& x, const PoolOptions& options);
Tensor avg_pool2d(const Tensor& x, const PoolOptions& options);
Tensor avg_pool3d(const Tensor& x, const PoolOptions& options);
/// The last axes of x (N, C, sizes...) or (C, sizes...) become `out`: window i of an axis is the elements from
/// floor(i size / out) to ceil((i + 1) size / out) - 1, as PyTorch has it. Keep nothing. (ops_resample.cpp)
Tensor adaptive_avg_pool1d(const Tensor& x, const Extent& out);
Tensor adaptive_avg_pool2d(const Tensor& x, const Extent& out);
Tensor adaptive_avg_pool3d(const Tensor& x, const Extent& out);
/// x (N, C, sizes...) -> (N, C, sizes * scale...): every element `scale` times along each of 1 to 3 sizes; a whole
/// number for each of them, or one for all. Keeps nothing. (ops_resample.cpp)
Tensor upsample_nearest(const Tensor& x, const Extent& scale);
struct InterpolateOptions {
  ResampleMode mode = ResampleMode::linear;  ///< along each size: linear is bilinear of two, trilinear of three
  /// The middles of the first and last elements lie at the same places before and after; else their outer edges do.
  bool align_corners = false;
};
/// The sizes of x (N, C, 1 to 3 sizes) become `out`: PyTorch's interpolate with `size`, without smoothing before
/// (antialias). Along each size `linear` takes two neighbours, `cubic` four, `nearest` the element at
/// floor(i size / out), exactly (PyTorch rounds the quotient of the sizes first), and `average` the mean of those from
/// there to ceil((i + 1) size / out) - 1, which PyTorch calls area. One pass, rounded once. Keeps nothing.
Tensor interpolate(const Tensor& x, const Extent& out, const InterpolateOptions& options = {});

// Normalization and regularization (ops_batch_norm.cpp, ops_normalize*.cpp).
struct BatchNormOptions {
  bool training = true;
  double momentum = 0.1;
  double epsilon = 1e-5;
  /// The result is not kept either where a later operation would keep it, but computed again in backward (StandIn).
  bool lean = false;
};
/// x (N, C) or (N, C, sizes...): per channel to mean 0 and variance 1, then * weight + bias (each may be undefined). In
/// training the running statistics are updated in place. Keeps x, the weight and two numbers per channel.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options = {});
/// relu(batch_norm(x, ...)) in one pass behind the statistics, which keeps x and two numbers per channel, and not its
/// result: where a later operation would keep that (a convolution), it is computed again from x when backward reads it,
/// in one pass. One activation less per block of convolution, normalization and relu; values and gradients are those of
/// the two operations, bit for bit.
Tensor batch_norm_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                       const Tensor& running_variance, const BatchNormOptions& options = {});
/// relu(batch_norm(x, ...) + residual) in the same way, for a residual of x's shape: it keeps x, and for the result
/// what gives the residual again. Where that is such a result itself, a chain of kMostDepth computations
/// (StandIn::depth) is the longest; the result that would be behind it is kept. Each is computed again once, and stays
/// from then on until its own gradient is taken: backward holds as many of them as the chain is long. With a residual
/// of another dtype these are operations of their own.
Tensor batch_norm_add_relu(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
                           const Tensor& running_mean, const Tensor& running_variance,
                           const BatchNormOptions& options = {});
struct InvertedOptions {
  BatchNormOptions norm = {};
  double slope = 0.01;          ///< of the leaky relu, more than 0
  double least_weight = 0.001;  ///< weights closer to 0 are taken as this, with their sign
};
/// leaky_relu(batch_norm(x, ...), slope) that keeps its result, which the next operation keeps anyway, and not x:
/// backward takes the normalized values back from the result (Rota Bulo et al., In-place activated BatchNorm, 2018).
/// They are exact up to rounding: with the result's precision eps they are off by at most about 3 eps (|y| + |bias|) /
/// |weight|, y being the result before the leaky relu. A weight that is raised to least_weight has the gradient of the
/// raised one.
Tensor batch_norm_leaky_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                             const Tensor& running_variance, const InvertedOptions& options = {});
/// x (..., shape...): each sample's last axes, of the sizes `shape`, to mean 0 and variance 1, then * weight + bias, of
/// that shape (each may be undefined) (Ba et al., Layer Normalization, 2016). Keeps x, the weight and two numbers per
/// sample; the normalized values are computed again for the weight's gradient. Takes its statistics in float32 at
/// least; the weight may be float32 where x is of a half type. The result is row-major. (ops_row_norm.cpp)
Tensor layer_norm(const Tensor& x, const Shape& shape, const Tensor& weight = {}, const Tensor& bias = {},
                  double epsilon = 1e-5);
/// x (..., shape...): each sample's last axes, of the sizes `shape`, divided by the root of the mean of their squares
/// plus epsilon, then * weight of that shape, which may be undefined (Zhang and Sennrich, Root Mean Square Layer
/// Normalization, 2019). Keeps x, the weight and one number per sample; the rest as layer_norm.
Tensor rms_norm(const Tensor& x, const Shape& shape, const Tensor& weight = {}, double epsilon = 1e-5);
/// x (N, C) or (N, C, sizes...): each sample's channels in `groups` of equal size to mean 0 and variance 1, then
/// * weight + bias (C) (Wu and He, Group Normalization, 2018). One group per channel is instance normalization. Keeps
/// x, the weight and two numbers per sample and group; the rest as layer_norm.
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight = {}, const Tensor& bias = {},
                  double epsilon = 1e-5);
/// Zeroes elements with probability p and scales the others by 1 / (1 - p); x itself when not training. Keeps nothing:
/// the random numbers are made again in backward.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true);
/// Keep the result.
Tensor softmax(const Tensor& x, int axis);
Tensor log_softmax(const Tensor& x, int axis);

// Losses (ops_loss.cpp): of all elements their mean, their sum, or each by itself.
enum class Reduction : std::uint8_t { mean, sum, none };
struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
  std::optional<std::int64_t> ignore_index = {};  ///< targets of this value count for nothing, not in the mean either
  /// (classes): how much each counts, or undefined. The mean is divided by the sum of the targets' weights, smoothed or
  /// not. It has no gradient.
  Tensor weight = {};
};
/// Negative log likelihood of softmax(logits (N, classes, ...)) at targets (N, ...) int64. Keeps the logits and the
/// targets, and the weight.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options = {});
struct NllLossOptions {
  Reduction reduction = Reduction::mean;
  std::optional<std::int64_t> ignore_index = {};  ///< as for cross_entropy
  Tensor weight = {};                             ///< as for cross_entropy
};
/// The same of logarithms that are probabilities already, as log_softmax makes them: minus those at the targets. Keeps
/// the targets, and with a weight one number for each.
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& targets, const NllLossOptions& options = {});
/// Whether fewer than k logits (N, classes, ...) are larger than that of the target (N, ...): booleans, never recorded.
/// `mean(to(in_top_k(logits, targets), DType::float32))` is the accuracy.
Tensor in_top_k(const Tensor& logits, const Tensor& targets, std::int64_t k = 1);
struct BinaryCrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  // Broadcast to the logits' shape, or are undefined, and have no gradient. The mean is one over all losses, whatever
  // their weights.
  Tensor weight = {};      ///< of each loss
  Tensor pos_weight = {};  ///< of t log p: above 1 it makes up for few positive targets
};
/// -(t log p + (1 - t) log(1 - p)) with p = sigmoid(logits), for targets t from 0 to 1 of the same shape, computed from
/// the logits so that it is finite for each of them. Keeps both, and the weights.
Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& targets,
                                        const BinaryCrossEntropyOptions& options = {});
/// t (log t - log_prediction), which is Kullback and Leibler's divergence when it is summed over the probabilities t;
/// the mean is one over all elements. Nothing where t is 0. Keeps t, and a byte for each element where t needs a
/// gradient.
Tensor kl_div(const Tensor& log_prediction, const Tensor& target, Reduction reduction = Reduction::mean);

// Losses by the difference of two tensors of one shape (ops_distance_loss.cpp). Keep the difference.
/// Its square.
Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction = Reduction::mean);
/// Its size; the gradient at 0 is 0.
Tensor l1_loss(const Tensor& prediction, const Tensor& target, Reduction reduction = Reduction::mean);
/// d^2 / (2 beta) up to a size of beta, and from there on |d| - beta / 2 (Girshick, Fast R-CNN, 2015, with beta 1).
Tensor smooth_l1_loss(const Tensor& prediction, const Tensor& target, double beta = 1,
                      Reduction reduction = Reduction::mean);
/// d^2 / 2 up to a size of delta, and from there on delta (|d| - delta / 2) (Huber, 1964): delta times the one above.
Tensor huber_loss(const Tensor& prediction, const Tensor& target, double delta = 1,
                  Reduction reduction = Reduction::mean);

}  // namespace mnemo
