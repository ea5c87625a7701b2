// Scaled dot-product attention, in parts: of the weights, which are the one large array, only a part is ever there.
// Backward computes each part again.
#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/autograd/record.h>
#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/families/check.h>

namespace mnemo {

namespace {

constexpr const char* kOp = "scaled_dot_product_attention";

/// Weights that are there at a time, unless a single row has more: many enough to keep a GPU busy.
constexpr std::int64_t kPart = std::int64_t{1} << 22;

/// Of some samples and heads the rows of some queries, and so many of the keys.
struct Part {
  std::int64_t sample, samples, head, heads, row, rows, keys;

  std::int64_t matrices() const { return samples * heads; }
};

/// Everything but the arrays, which are (batch, heads, queries or keys, features).
struct Attention {
  std::int64_t batch, heads, queries, keys;
  double scale;
  bool causal;

  std::int64_t weights() const { return batch * heads * queries * keys; }
  /// As many whole samples as kPart holds, or heads of one sample, or rows of one head.
  std::vector<Part> parts() const {
    const auto fit = [](std::int64_t each, std::int64_t count) {
      return std::clamp<std::int64_t>(kPart / std::max<std::int64_t>(1, each), 1, std::max<std::int64_t>(1, count));
    };
    const std::int64_t samples = fit(heads * queries * keys, batch), some = fit(queries * keys, heads);
    const std::int64_t rows = fit(keys, queries);
    std::vector<Part> result;
    for (std::int64_t n = 0; n < batch; n += samples) {
      for (std::int64_t h = 0; h < heads; h += some) {
        for (std::int64_t r = 0; r < queries; r += rows) {
          const std::int64_t count = std::min(rows, queries - r);
          result.push_back({n, std::min(samples, batch - n), h, std::min(some, heads - h), r, count,
                            causal ? std::min(keys, r + count) : keys});
        }
      }
    }
    return result;
  }
};

/// Matrices of x, of which `count` rows from `begin` on; a copy where strides cannot express it.
Array matrices(const Array& x, const Part& part, std::int64_t begin, std::int64_t count) {
  return x.slice(0, part.sample, part.sample + part.samples)
      .slice(1, part.head, part.head + part.heads)
      .slice(2, begin, begin + count)
      .reshape({part.matrices(), count, x.size(3)});
}
Array queries_of(const Array& x, const Part& part) { return matrices(x, part, part.row, part.rows); }
Array keys_of(const Array& x, const Part& part) { return matrices(x, part, 0, part.keys); }

/// What of a mask, each of whose sizes may be 1, is about the part.
Array mask_of(const Array& mask, const Part& part) {
  const auto some = [](const Array& x, int axis, std::int64_t begin, std::int64_t count) {
    return x.size(axis) == 1 ? x : x.slice(axis, begin, begin + count);
  };
  return some(some(some(some(mask, 0, part.sample, part.samples), 1, part.head, part.heads), 2, part.row, part.rows), 3,
              0, part.keys);
}

/// What scores of keys that count are cut off at; those of keys that are left out at minus this. It outweighs every
/// score, and is no infinity, of which a row without keys would be NaN.
double bound(DType dtype) { return dtype == DType::float16 ? 65504 : 1e30; }

/// The weights of a part: (matrices, rows, keys). `queries`: the part's.
Array weights_of(const Attention& attention, const Part& part, const Array& queries, const Array& k,
                 const Array& mask) {
  const Array scores({part.matrices(), part.rows, part.keys}, k.dtype(), k.device());
  // The product is scaled before it is rounded: a half type may have no room for what it was.
  matmul_into(queries, keys_of(k, part).transpose(1, 2), scores, false, attention.scale);
  const auto softmaxed = [&] {
    return attention.causal ? causal_softmax(scores, part.row) : softmax(scores, 2, false);
  };
  if (!mask.defined()) return softmaxed();
  const Dims sizes{part.samples, part.heads, part.rows, part.keys};
  const Array numbers = mask_of(mask, part).to(scores.dtype()), target = scores.reshape(sizes);
  if (mask.dtype() != DType::boolean) {
    map_into(BinaryOp::add, target, numbers, target);
    return softmaxed();
  }
  const double most = bound(scores.dtype());
  map_into(BinaryOp::minimum, target, map(UnaryOp::affine, numbers, {.a = 2 * most, .b = -most}), target);
  const Array weights = softmaxed(), by_part = weights.reshape(sizes);
  map_into(BinaryOp::multiply, by_part, numbers, by_part);  // a row without keys has no weights
  return weights;
}

/// Where the gradients of keys or values are summed up: rows of several parts add to them. Of half types what each part
/// adds is rounded, and the sum is one of float32.
class KeySums {
 public:
  KeySums(const Array& like, bool several)
      : sums_(several ? full(like.shape(), 0, like.dtype(), like.device())
                      : Array(like.shape(), like.dtype(), like.device())),
        several_(several) {}

  /// Adds scale * a (matrices, keys, rows) x b (matrices, rows, features) to the part's keys.
  void add(const Part& part, const Array& a, const Array& b, double scale = 1) {
    const Array to = keys_of(sums_, part);
    if (!several_ || !is_half(sums_.dtype())) return matmul_into(a, b, to, several_, scale);
    if (part.row == 0) wide_ = full(matrices(sums_, part, 0, sums_.size(2)).shape(), 0, DType::float32, to.device());
    const Array wide = wide_.slice(1, 0, part.keys);
    const Array more(to.shape(), to.dtype(), to.device());
    matmul_into(a, b, more, false, scale);
    map_into(BinaryOp::add, wide, more, wide);
    copy_into(wide, to);
  }
  Array result() && { return std::move(sums_); }

 private:
  Array sums_, wide_;
  bool several_;
};

/// Where the gradient of a mask is summed up. Of half types as in KeySums, where several parts add to one element.
class MaskSum {
 public:
  MaskSum(const Array& mask, bool shared)
      : dtype_(mask.dtype()),
        sums_(full(mask.shape(), 0, shared && is_half(dtype_) ? DType::float32 : dtype_, mask.device())) {}

  /// `dscores`: (matrices, rows, keys) of the part.
  void add(const Part& part, const Array& dscores) {
    const Array to = mask_of(sums_, part);
    const Array all = dscores.reshape({part.samples, part.heads, part.rows, part.keys});
    // Summed in the wider of both dtypes: a half type may not hold sums that the other one does.
    const Array more = all.shape() == to.shape() ? all : sum_to(all.to(promote(all.dtype(), to.dtype())), to.shape());
    map_into(BinaryOp::add, to, more.to(to.dtype()), to);
  }
  Array result() && { return sums_.to(dtype_); }

 private:
  DType dtype_;
  Array sums_;
};

/// What backward needs of the forward pass.
struct Kept {
  std::vector<DropoutCall> dropped;  ///< of each part, or none
  Saved q, k, v, mask;
  Shape mask_shape;  ///< as it was given
};

void give_gradients(const Attention& attention, const Kept& kept, Backward& back) {
  const Array grad = back.take_grad(), q = kept.q.get(), k = kept.k.get(), v = kept.v.get();
  const Array mask = kept.mask.defined() ? kept.mask.get() : Array();
  const std::vector<Part> parts = attention.parts();
  // Keys that no row sees have a gradient too: 0.
  const bool several = parts.empty() || parts[0].rows < attention.queries || parts[0].keys < attention.keys;
  Array dq = back.needs(0) ? Array(q.shape(), q.dtype(), q.device()) : Array();
  std::optional<KeySums> dk, dv;
  std::optional<MaskSum> dmask;
  if (back.needs(1)) dk.emplace(k, several);
  if (back.needs(2)) dv.emplace(v, several);
  if (back.needs(3)) dmask.emplace(mask, parts.size() > 1 && mask.numel() < attention.weights());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const auto dropped = [&](const Array& x) { return kept.dropped.empty() ? x : dropout(kept.dropped[i], x); };
    const Array queries = queries_of(q, part), dy = queries_of(grad, part);
    const Array weights = weights_of(attention, part, queries, k, mask);
    if (dv) dv->add(part, dropped(weights).transpose(1, 2), dy);
    if (!dk && !dq.defined() && !dmask) continue;
    const Array dscores = softmax_gradient(dropped(matmul(dy, keys_of(v, part).transpose(1, 2))), weights, 2, false);
    if (dk) dk->add(part, dscores.transpose(1, 2), queries, attention.scale);
    if (dq.defined()) matmul_into(dscores, keys_of(k, part), queries_of(dq, part), false, attention.scale);
    if (dmask) dmask->add(part, dscores);
  }
  if (dq.defined()) back.give(0, std::move(dq));
  if (dk) back.give(1, std::move(*dk).result());
  if (dv) back.give(2, std::move(*dv).result());
  if (dmask) back.give(3, std::move(*dmask).result().reshape(kept.mask_shape));
}

/// `mask`: the given one in four axes.
Tensor attend(const Attention& attention, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& given,
              const Array& mask, double probability) {
  Array y({attention.batch, attention.heads, attention.queries, v.size(3)}, q.dtype(), q.device());
  Kept kept;
  for (const Part& part : attention.parts()) {
    Array weights = weights_of(attention, part, queries_of(q.array(), part), k.array(), mask);
    if (probability > 0) weights = dropout_next(kept.dropped.emplace_back(DropoutCall{.p = probability}), weights);
    matmul_into(weights, keys_of(v.array(), part), queries_of(y, part));
  }
  if (needs_grad(q) || needs_grad(k) || needs_grad(v) || needs_grad(given)) {
    kept.q = Saved(q.array()), kept.k = Saved(k.array()), kept.v = Saved(v.array());
    kept.mask = save_if(true, mask);
    if (given.defined()) kept.mask_shape = given.shape();
  }
  return record({&q, &k, &v, &given}, std::move(y),
                [attention, kept = std::move(kept)](Backward& back) { give_gradients(attention, kept, back); });
}

void check_shapes(const Tensor& q, const Tensor& k, const Tensor& v) {
  bool fits = q.rank() >= 2 && q.rank() <= 4 && k.rank() == q.rank() && v.rank() == q.rank() && q.size(-1) > 0 &&
              k.size(-1) == q.size(-1) && v.size(-2) == k.size(-2);
  for (int axis = 0; fits && axis < q.rank() - 2; ++axis)
    fits = k.size(axis) == q.size(axis) && v.size(axis) == q.size(axis);
  if (fits) return;
  fail<ShapeError>(kOp, fmt::format("queries {}, keys {}, values {}: they must be (..., queries, features), (..., "
                                    "keys, features) and (..., keys, values), with the same sizes before: none, (N) "
                                    "or (N, heads)",
                                    q.shape().text(), k.shape().text(), v.shape().text()));
}

/// (..., rows, features) as (N, heads, rows, features).
Tensor in_four(const Tensor& x) {
  if (x.rank() == 4) return x;
  return x.rank() == 3 ? unsqueeze(x, 1) : unsqueeze(unsqueeze(x, 0), 0);
}

/// The mask in four axes, each of the scores' size or 1.
Array checked_mask(const Tensor& mask, const Tensor& q, const Tensor& k) {
  if (!mask.defined()) return {};
  check_same_device(kOp, q.array(), mask.array());
  if (mask.dtype() != DType::boolean) check_floating(kOp, mask.array());
  Dims scores = q.shape();
  scores[q.rank() - 1] = k.size(-2);
  bool fits = mask.rank() <= q.rank();
  for (int axis = 1; fits && axis <= mask.rank(); ++axis)
    fits = mask.size(-axis) == 1 || mask.size(-axis) == scores[q.rank() - axis];
  if (!fits) {
    fail<ShapeError>(
        kOp, fmt::format("mask {} does not broadcast to the scores {}", mask.shape().text(), Shape(scores).text()));
  }
  Array wide = mask.array();
  while (wide.rank() < q.rank()) wide = wide.unsqueeze(0);
  if (wide.rank() == 3) return wide.unsqueeze(1);
  return wide.rank() == 2 ? wide.unsqueeze(0).unsqueeze(0) : wide;
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                                    const AttentionOptions& options) {
  if (const OperandCast cast(kOp, {&q, &k, &v}); cast)
    return scaled_dot_product_attention(cast(q), cast(k), cast(v), mask, options);
  const Operation operation(kOp);
  check_same_device(kOp, q.array(), k.array());
  check_same_device(kOp, q.array(), v.array());
  check_floating(kOp, q.array());
  check_dtype(kOp, "the keys", k.array(), q.dtype());
  check_dtype(kOp, "the values", v.array(), q.dtype());
  check_shapes(q, k, v);
  if (!(options.dropout >= 0 && options.dropout <= 1))
    fail<ShapeError>(kOp, fmt::format("dropout probability {} is not between 0 and 1", options.dropout));
  const double dropout = training_then(options.training) ? options.dropout : 0;
  const Tensor queries = in_four(q), keys = in_four(k), values = in_four(v);
  const Attention attention{.batch = queries.size(0),
                            .heads = queries.size(1),
                            .queries = queries.size(2),
                            .keys = keys.size(2),
                            .scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1)))),
                            .causal = options.causal};
  const Tensor y = attend(attention, queries, keys, values, mask, checked_mask(mask, q, k), dropout);
  if (q.rank() == 4) return y;
  return q.rank() == 3 ? squeeze(y, 1) : squeeze(squeeze(y, 0), 0);
}

}  // namespace mnemo
