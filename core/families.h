// The families of operations on arrays: here shapes, dtypes and devices are checked, decisions are asked for, outputs
// and workspaces are allocated; then the backend fills. No gradients: those are autograd's.
#pragma once

#include <optional>
#include <span>

#include <mnemo/core/array.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/conv.h>

namespace mnemo {

// map. `op` begins error texts where the operation's own name is not enough.
Array map(UnaryOp op, const Array& x, const Scalars& scalars = {});
/// The gradient of map(op, x): `saved` is x or its output as `saves(op)` says (ignored for Saves::nothing).
/// `grad` is overwritten where nobody else holds it.
Array map_gradient(UnaryOp op, Array grad, const Array& saved, const Scalars& scalars = {});
/// One bit per element of x (dense), in the order of memory: whether it is above 0. uint8.
Array sign_bits(const Array& x);
/// `x` where the bit is set, else 0, in `layout`, that of the array of which the bits are. `x` is overwritten where
/// nobody else holds it.
Array keep_bits(Array x, const Array& bits, const Layout& layout);
/// Broadcasts and promotes.
Array map(BinaryOp op, const Array& a, const Array& b);
/// Boolean result; broadcasts and promotes.
Array compare(CompareOp op, const Array& a, const Array& b);
/// Elements of `a` where `condition` (boolean) is true, else of `b`. Broadcasts and promotes; the result has the layout
/// of a dense operand of its shape. In the memory of a or b where that is all, and nobody else holds it.
Array choose(const Array& condition, Array a, Array b);
/// In place: `out` keeps its shape and dtype; its version is increased. An operand that shares memory with `out` in
/// another layout (its transpose) is read as it was before. Errors begin with the current operation's name.
void map_into(UnaryOp op, const Array& x, const Array& out, const Scalars& scalars = {});
void map_into(BinaryOp op, const Array& a, const Array& b, const Array& out);
void copy_into(const Array& from, const Array& to);  ///< `from` broadcasts and is cast
void fill(const Array& out, double value);

Array full(const Shape& shape, double value, DType dtype, const Device& device = {});
/// The next numbers of the program's random stream (core/random.h).
Array random(RandomCall call, const Shape& shape, DType dtype = DType::float32, const Device& device = {});
Array dropout(const DropoutCall& call, const Array& x);
/// The same with the next numbers of the program's stream, taken once there is memory for the result; `call` gets their
/// place.
Array dropout_next(DropoutCall& call, const Array& x);

// reduce. `axes` has a bit per axis; the reduced axes have size 1 in the result unless `keep` is false.
Array reduce(ReduceOp op, const Array& x, unsigned axes, bool keep = true, double scale = 1);
/// The reverse of broadcasting: sums until the shape is `shape`. x itself where nothing is to be summed.
Array sum_to(const Array& x, const Shape& shape);
/// Index of the first largest (smallest) element along an axis, which is removed; int64. NaN is both.
Array arg_max(const Array& x, int axis);
Array arg_min(const Array& x, int axis);

/// The sum along an axis up to every element, or from it to the end where `reverse`. Of narrow integers int64.
Array cumsum(const Array& x, int axis, bool reverse = false);

/// The first `count` elements along an axis in order, all of them unless given, and their int64 places. Smallest first,
/// or largest; equal ones as they come; NaN is above all numbers, -0 is 0. Both arrays are row-major but for the axis,
/// whose elements are neighbours. A scalar is a line of one. `op` begins the error texts.
struct SortedArrays {
  Array values, indices;
};
SortedArrays sort(const char* op, const Array& x, int axis, bool descending, std::optional<std::int64_t> count = {});
/// The places alone.
Array sorted_places(const char* op, const Array& x, int axis, bool descending);
/// The gradient of the values with respect to x, from their places.
Array sort_gradient(const Array& grad, int axis, const Array& indices, const Shape& x_shape);

/// (..., M, K) x (..., K, N): leading dimensions broadcast; vectors are rows or columns as usual. `bias` (N) or
/// undefined is added to every row.
Array matmul(const Array& a, const Array& b, const Array& bias = {});
/// out (B, M, N) = scale * a (B, M, K) x (B, K, N), or added to it; `out` may be a view whose rows have no gaps.
void matmul_into(const Array& a, const Array& b, const Array& out, bool accumulate = false, double scale = 1);

// conv. x (N, C, spatial...), w (K, C/groups, kernel...), bias (K) or undefined.
/// Checks everything there is to check and works out the sizes. `op` begins the error texts: "conv1d", "conv2d" or
/// "conv3d".
ConvProblem conv_problem(const char* op, const Array& x, const Array& w, const Array& bias, int spatial_rank,
                         const ConvOptions& options);
/// `relu`: what would be below 0 is 0. `plans`: where the layer's plans are found again, or null.
Array conv(const ConvProblem& problem, const Array& x, const Array& w, const Array& bias, bool relu = false,
           LatestPlans* plans = nullptr);
Array conv_data_gradient(const ConvProblem& problem, const Array& grad, const Array& w, LatestPlans* plans = nullptr);
Array conv_weight_gradient(const ConvProblem& problem, const Array& x, const Array& grad, LatestPlans* plans = nullptr);

// pool. x (N, C, spatial...) or (C, spatial...); results of channels-last images are channels-last.
PoolProblem pool_problem(const char* op, PoolProblem::Kind kind, const Array& x, int spatial_rank,
                         const PoolOptions& options);
/// Output, and for a maximum its places in their windows where `want_offsets` (undefined otherwise).
struct Pooled {
  Array y, offsets;
};
Pooled pool(const PoolProblem& problem, const Array& x, int spatial_rank, bool want_offsets);
Array pool_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Shape& x_shape);

/// Throws ShapeError unless x is (N, C, 1 to 3 sizes) and `scale` at least 1, a number for each size or one for all.
void check_upsample(const char* op, const Array& x, const Extent& scale);
/// Every element of x (N, C, sizes...) `scale` times along each size, in x's layout.
Array upsample_nearest(const Array& x, const Extent& scale);
/// The sum over the places that got an element.
Array upsample_nearest_gradient(const Array& grad, const Shape& x_shape, const Extent& scale);

/// The last `rank` axes of x (N, C, sizes...) or (C, sizes...) resampled to the sizes `out`, which are at least 1.
ResampleProblem resample_problem(const char* op, ResampleMode mode, const Array& x, const Extent& out, int rank,
                                 bool corners = false);
/// In x's layout.
Array resample(const ResampleProblem& problem, const Array& x, int rank);
Array resample_gradient(const ResampleProblem& problem, const Array& grad, const Shape& x_shape);

/// Batch normalization; fills call.y and, in training, call.mean and call.inverse_deviation, unless those are given. In
/// evaluation it fills those two where they are defined. REQUIRES: checked arrays in `call`.
void normalize(NormalizeCall& call);
/// With `y` it also makes dresidual where that is undefined: in the memory of `grad` where nobody else holds it.
void normalize_gradient(NormalizeGradientCall& call);

/// Fills call.y, in the shape of call.x, call.inverse_deviation and, if rows are centered, call.mean. REQUIRES: checked
/// arrays in `call`; sizes that fit x.
void row_norm(RowNormCall& call);
/// Fills call.dweight and call.dbias where they are defined, and if `wants_dx` call.dx: in the memory of `grad` where
/// nobody else holds it.
void row_norm_gradient(RowNormGradientCall& call, bool wants_dx = true);

Array softmax(const Array& x, int axis, bool logarithm);
Array softmax_gradient(const Array& grad, const Array& y, int axis, bool logarithm);
/// softmax of x (..., rows, size) along its last axis where row r counts its first `first + r + 1` elements alone; the
/// others' result is 0. Its gradient is that of softmax.
Array causal_softmax(const Array& x, std::int64_t first = 0);

/// Losses of logits (N, C, ...) against class indices (N, ...): one per target. Fills call.target_weights where that is
/// defined.
Array cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets);
Array cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                             const Array& targets);
/// Checks shapes, dtypes and every target; the sizes for the two above, and their weight (in their dtype), which may be
/// undefined.
CrossEntropyCall cross_entropy_problem(const Array& logits, const Array& targets, std::int64_t ignore_index,
                                       const Array& weight = {});

/// x with positions along `axis` taken from `index` (int64, same sizes elsewhere).
Array gather(const Array& x, int axis, const Array& index);
/// The reverse: adds x into zeros of `shape`, one element after the other. The index has x's shape.
Array scatter_add(const Array& x, int axis, const Array& index, const Shape& shape);
/// Adds `source` in the same way to a copy of x. Promotes.
Array scatter_add(const Array& x, int axis, const Array& index, const Array& source);

Array concat(std::span<const Array> parts, int axis);

}  // namespace mnemo
