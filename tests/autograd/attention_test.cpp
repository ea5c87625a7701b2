// scaled_dot_product_attention against loops in float64, against the operations that it is composed of, and in bytes.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <mnemo/autograd/autocast.h>
#include <mnemo/core/random.h>
#include <mnemo/memory/allocator.h>

#include "autograd/op_rows.h"

using namespace mnemo;
using namespace rows;

namespace {

/// By the definition, row by row. `allowed`: whether a query (an index of the result, less its last axis) is given the
/// key; `added`: to its score.
Plain reference(const Plain& q, const Plain& k, const Plain& v, double scale,
                const std::function<bool(const Index&, std::int64_t)>& allowed,
                const std::function<double(const Index&, std::int64_t)>& added) {
  Index sizes = q.sizes;
  sizes.back() = v.sizes.back();
  return filled(sizes, [&](const Index& index) {
    const Index query(index.begin(), index.end() - 1);
    Index of_q = index, of_key = index;
    double total = 0, result = 0;
    for (std::int64_t key = 0; key < k.size(-2); ++key) {
      if (!allowed(query, key)) continue;
      double score = added(query, key);
      of_key[index.size() - 2] = key;
      for (std::int64_t e = 0; e < q.size(-1); ++e) {
        of_q.back() = of_key.back() = e;
        score += q.at(of_q) * k.at(of_key) * scale;
      }
      of_key.back() = index.back();
      total += std::exp(score), result += std::exp(score) * v.at(of_key);
    }
    return total == 0 ? 0 : result / total;
  });
}

double nothing(const Index&, std::int64_t) { return 0; }

OpRow attention_row(const Shape& q, const Shape& k, const Shape& v, const AttentionOptions& options = {}) {
  OpRow row{"attention " + q.text() + k.text() + v.text() + (options.causal ? " causal" : ""),
            {{q}, {k}, {v}},
            [=](const Tensors& x) { return scaled_dot_product_attention(x[0], x[1], x[2], {}, options); },
            [=](const Plains& x) {
              return reference(
                  x[0], x[1], x[2], options.scale.value_or(1 / std::sqrt(static_cast<double>(x[0].size(-1)))),
                  [&](const Index& query, std::int64_t key) { return !options.causal || key <= query.back(); },
                  nothing);
            }};
  row.smooth_in_half = false;
  return row;
}

memory::Bytes saved(const Device& device) {
  return device.allocator().categories()[static_cast<std::size_t>(memory::Category::saved_activation)];
}

/// What the operation does, in separate ones.
Tensor composed(const Tensor& q, const Tensor& k, const Tensor& v, bool causal) {
  const std::int64_t rows = q.size(-2), keys = k.size(-2);
  Tensor scores = matmul(q, transpose(k, -2, -1)) * (1 / std::sqrt(static_cast<double>(q.size(-1))));
  if (causal) {
    std::vector<double> excluded(static_cast<std::size_t>(rows * keys));
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t s = r + 1; s < keys; ++s) excluded[static_cast<std::size_t>(r * keys + s)] = -INFINITY;
    scores = scores + to(Tensor(Array::from(excluded, {rows, keys}, q.device())), q.dtype());
  }
  return matmul(softmax(scores, -1), v);
}

struct Result {
  std::vector<std::vector<double>> values;  // of y, dq, dk, dv
};

Result run(const std::function<Tensor(const Tensor&, const Tensor&, const Tensor&)>& op, const Shape& queries,
           const Shape& keys, DType dtype, bool rounded_to_half = false) {
  manual_seed(3);
  Tensor inputs[3];
  for (Tensor& input : inputs) {
    input = randn(&input == inputs ? queries : keys, {.dtype = DType::float64});
    if (rounded_to_half) input = to(input, DType::bfloat16);
    input = to(input, dtype).set_requires_grad(true);
  }
  const Tensor y = op(inputs[0], inputs[1], inputs[2]);
  const Tensor upstream = to(randn(y.shape(), {.dtype = DType::float64}), dtype);
  y.backward(upstream);
  Result result{{y.array().values<double>()}};
  for (const Tensor& input : inputs) result.values.push_back(input.grad().array().values<double>());
  return result;
}

/// Largest difference of any value, relative to the largest value of its array.
double difference(const Result& a, const Result& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    REQUIRE(a.values[i].size() == b.values[i].size());
    double largest = 0, most = 0;
    for (std::size_t j = 0; j < a.values[i].size(); ++j) {
      largest = std::max(largest, std::abs(b.values[i][j]));
      const double distance = std::abs(a.values[i][j] - b.values[i][j]);
      if (!(distance <= most)) most = distance;
    }
    worst = std::max(worst, most / largest);
  }
  return worst;
}

}  // namespace

TEST_CASE("op rows: scaled_dot_product_attention") {
  std::vector<OpRow> rows;
  for (const bool causal : {false, true}) {
    rows.push_back(attention_row({2, 2, 4, 3}, {2, 2, 4, 3}, {2, 2, 4, 5}, {.causal = causal}));
    rows.push_back(attention_row({2, 3, 2}, {2, 5, 2}, {2, 5, 3}, {.causal = causal}));
    rows.push_back(attention_row({5, 2}, {3, 2}, {3, 2}, {.causal = causal, .scale = 0.3}));
    rows.push_back(attention_row({1, 1}, {1, 1}, {1, 1}, {.causal = causal}));
    rows.push_back(attention_row({0, 3, 2}, {0, 2, 2}, {0, 2, 2}, {.causal = causal}));
    rows.push_back(attention_row({2, 0, 2}, {2, 3, 2}, {2, 3, 2}, {.causal = causal}));
    rows.push_back(attention_row({2, 3, 2}, {2, 0, 2}, {2, 0, 4}, {.causal = causal}));
  }
  rows[0].large = {{{2, 3, 70, 8}}, {{2, 3, 70, 8}}, {{2, 3, 70, 8}}};
  check(rows);
}

TEST_CASE("op rows: scaled_dot_product_attention with a mask") {
  std::vector<OpRow> rows;
  const Shape q{2, 2, 3, 2}, k{2, 2, 4, 2}, v{2, 2, 4, 3};
  // Which keys count: for each sample its own, for each head and query all of them; the second sample has none.
  const std::vector<std::int64_t> counted{1, 0, 1, 1, 0, 0, 0, 0};
  for (const bool causal : {false, true}) {
    rows.push_back({"boolean",
                    {{q}, {k}, {v}, {{2, 1, 1, 4}, 0, 1, counted}},
                    [=](const Tensors& x) {
                      return scaled_dot_product_attention(x[0], x[1], x[2], to(x[3], DType::boolean),
                                                          {.causal = causal});
                    },
                    [=](const Plains& x) {
                      return reference(
                          x[0], x[1], x[2], 1 / std::sqrt(2.0),
                          [&](const Index& query, std::int64_t key) {
                            return x[3].at({query[0], 0, 0, key}) > 0 && (!causal || key <= query.back());
                          },
                          nothing);
                    }});
    // A bias for each head, for a pair of places, a sample's keys, every score, a key, all of them.
    for (const Shape& mask : {Shape{2, 3, 4}, Shape{3, 4}, Shape{2, 1, 1, 4}, Shape{2, 2, 3, 4}, Shape{4}, Shape{}}) {
      rows.push_back(
          {"numbers " + mask.text(),
           {{q}, {k}, {v}, {mask, -3, 3}},
           [=](const Tensors& x) { return scaled_dot_product_attention(x[0], x[1], x[2], x[3], {.causal = causal}); },
           [=](const Plains& x) {
             return reference(
                 x[0], x[1], x[2], 1 / std::sqrt(2.0),
                 [&](const Index& query, std::int64_t key) { return !causal || key <= query.back(); },
                 [&](Index query, std::int64_t key) {
                   query.push_back(key);
                   return x[3].broadcast_at(query);
                 });
           }});
    }
  }
  for (OpRow& row : rows) row.smooth_in_half = false;
  check(rows);
}

// In float16 a key that was left out won over a much lower score, and a query without keys had NaN.
TEST_CASE("attention: a boolean mask outweighs any score of any type") {
  const auto attend = [](DType dtype, const std::vector<double>& keys, const std::vector<double>& counted) {
    const auto typed = [dtype](const std::vector<double>& values, const Shape& shape) {
      return to(tensor(values, shape), dtype).detach().set_requires_grad(true);
    };
    const Tensor q = typed({200}, {1, 1}), k = typed(keys, {3, 1}), v = typed({1, 2, 3}, {3, 1});
    const Tensor y = scaled_dot_product_attention(q, k, v, to(tensor(counted, {1, 3}), DType::boolean), {.scale = 1});
    y.backward();
    std::vector<double> result{y.item(), q.grad().item()};
    for (const double value : v.grad().values<double>()) result.push_back(value);
    return result;
  };
  using Values = std::vector<double>;
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    CAPTURE(std::string(name(dtype)));
    // Scores of -40000, 40000 and -36000; the gradients are those of what wins.
    CHECK(attend(dtype, {-200, 200, -180}, {1, 0, 0}) == Values{1, 0, 1, 0, 0});
    CHECK(attend(dtype, {-200, 200, -180}, {1, 0, 1}) == Values{3, 0, 0, 0, 1});
    for (const double sign : {-1.0, 1.0})
      CHECK(attend(dtype, {sign * 200, sign * 220, sign * 240}, {0, 0, 0}) == Values{0, 0, 0, 0, 0});
  }
}

TEST_CASE("attention in parts: samples, heads and rows, as the operations that it is composed of") {
  const auto attention = [](bool causal) {
    return [causal](const Tensor& q, const Tensor& k, const Tensor& v) {
      return scaled_dot_product_attention(q, k, v, {}, {.causal = causal});
    };
  };
  const auto parts = [](bool causal) {
    return [causal](const Tensor& q, const Tensor& k, const Tensor& v) { return composed(q, k, v, causal); };
  };
  struct Sizes {
    Shape queries, keys;
  };
  // Of 2^22 weights at a time: two samples and one; six heads and one, twice; 1900 rows and 300; rows against few keys.
  for (const Sizes& sizes : {Sizes{{3, 2, 1000, 3}, {3, 2, 1000, 3}}, Sizes{{2, 7, 800, 2}, {2, 7, 800, 2}},
                             Sizes{{1, 2, 2200, 2}, {1, 2, 2200, 2}}, Sizes{{1, 1, 300000, 2}, {1, 1, 20, 2}}}) {
    CAPTURE(sizes.queries.text());
    for (const bool causal : {false, true}) {
      if (causal && sizes.queries[2] > 3000) continue;  // the composed one has a mask of all queries
      CAPTURE(causal);
      CHECK(difference(run(attention(causal), sizes.queries, sizes.keys, DType::float64),
                       run(parts(causal), sizes.queries, sizes.keys, DType::float64)) < 1e-12);
    }
  }
  // Half types are summed over parts in float32: no worse than in one.
  const Shape long_one{1, 1, 2200, 4}, keys{1, 1, 2200, 4};
  const Result exact = run(parts(false), long_one, keys, DType::float64, true);
  CHECK(difference(run(attention(false), long_one, keys, DType::bfloat16, true), exact) <
        1.5 * difference(run(parts(false), long_one, keys, DType::bfloat16, true), exact));
}

TEST_CASE("attention keeps queries, keys and values, and has a part of the weights at a time") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  const std::int64_t n = 2, heads = 4, length = 2048, features = 64;
  const memory::Bytes each = n * heads * length * features * 4, weights = n * heads * length * length * 4,
                      part = (std::int64_t{1} << 22) * 4;
  Tensor q = randn({n, length, heads * features}, {.requires_grad = true});
  const auto headed = [&](const Tensor& x) { return transpose(reshape(x, {n, length, heads, features}), 1, 2); };
  const Tensor x = q * 1.0, y = q * 1.0, z = q * 1.0;
  const memory::Bytes before = device.allocator().allocated();
  device.allocator().reset_peak();
  const Tensor result = scaled_dot_product_attention(headed(x), headed(y), headed(z));
  CHECK(saved(device) == 3 * each);  // views: nothing is copied
  CHECK(device.allocator().allocated() == before + each);
  // The scores and their softmax.
  const memory::Bytes forward_peak = device.allocator().statistics().allocated_bytes.all.peak;
  CHECK(forward_peak <= before + each + 2 * part + (1 << 20));
  const memory::Bytes at_backward = device.allocator().allocated();
  device.allocator().reset_peak();
  sum(result).backward();
  const memory::Bytes backward_peak = device.allocator().statistics().allocated_bytes.all.peak;
  CHECK(backward_peak <= at_backward + 6 * each + 4 * part + (1 << 20));
  CHECK(backward_peak < at_backward + weights);  // the weights alone would be more
}

TEST_CASE("attention's dropout drops weights, the same in backward") {
  // With the identity as values the result is the weights themselves.
  const std::int64_t length = 64;
  std::vector<double> ones(static_cast<std::size_t>(length * length));
  for (std::int64_t i = 0; i < length; ++i) ones[static_cast<std::size_t>(i * (length + 1))] = 1;
  manual_seed(4);
  const Tensor q = randn({2, length, 4}, {.dtype = DType::float64, .requires_grad = true});
  const Tensor k = randn({2, length, 4}, {.dtype = DType::float64, .requires_grad = true});
  Tensor v = expand(Tensor(Array::from(ones, {length, length})), {2, length, length});
  v = contiguous(v).set_requires_grad(true);
  const auto attend = [&](const Tensor& query, double p, bool training = true) {
    manual_seed(9);
    return scaled_dot_product_attention(query, k, v, {}, {.dropout = p, .training = training});
  };
  const auto whole = attend(q, 0).array().values<double>(), some = attend(q, 0.3).array().values<double>();
  int dropped = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (some[i] == 0)
      ++dropped;
    else
      CHECK(some[i] == doctest::Approx(whole[i] / 0.7).epsilon(1e-12));
  }
  CHECK(std::abs(dropped - 0.3 * 2 * length * length) < 5 * std::sqrt(0.3 * 0.7 * 2 * length * length));
  CHECK(attend(q, 0.3, false).array().values<double>() == whole);
  // The result is linear in v: its gradient is the dropped weights, transposed, times what comes from above.
  const Tensor y = attend(q, 0.3), upstream = randn({2, length, length}, {.dtype = DType::float64});
  y.backward(upstream);
  const Tensor expected = matmul(transpose(y.detach(), 1, 2), upstream);
  const auto found = v.grad().array().values<double>(), wanted = expected.array().values<double>();
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == doctest::Approx(wanted[i]).epsilon(1e-10));
  // Of q by differences along a direction.
  const Tensor direction = randn(q.shape(), {.dtype = DType::float64});
  const auto value = [&](double step) { return sum(attend(q.detach() + direction * step, 0.3) * upstream).item(); };
  const double slope = (value(1e-6) - value(-1e-6)) / 2e-6;
  CHECK(sum(q.grad() * direction).item() == doctest::Approx(slope).epsilon(1e-6));
}

TEST_CASE("attention under autocast is computed in the half type, and gradients arrive in float32") {
  manual_seed(5);
  const Tensor q = randn({2, 8, 4}, {.requires_grad = true});
  const AutocastScope half(DType::bfloat16);
  const Tensor y = scaled_dot_product_attention(q, q, q, {}, {.causal = true});
  CHECK(y.dtype() == DType::bfloat16);
  sum(y).backward();
  CHECK(q.grad().dtype() == DType::float32);
}

TEST_CASE("attention's gradient of queries is scaled before it is rounded to float16") {
  // Two keys of the same weight, whose values are 1 and -1: the scores' gradients are 15000 and -15000, and their
  // product with keys of 4 and -4 is 120,000, more than float16 has; an eighth of it is not.
  const auto constant = [](double value, const Shape& shape) { return full(shape, value, {.dtype = DType::float16}); };
  const Tensor q = constant(0, {1, 64}).set_requires_grad(true);
  const Tensor k = concat({constant(4, {1, 64}), constant(-4, {1, 64})}, 0);
  const Tensor v = concat({constant(1, {1, 1}), constant(-1, {1, 1})}, 0);
  scaled_dot_product_attention(q, k, v).backward(constant(30000, {1, 1}));
  CHECK(q.grad().values<double>() == std::vector<double>(64, 15000));
}

TEST_CASE("attention: the gradient of a float32 mask is summed in float32 where queries are of a half type") {
  // 90000 queries that give both keys the same weight: of y = (4 + 0) / 2 each passes (4 - 2) / 2 to the first score.
  constexpr std::int64_t kQueries = 90000;
  const auto half = [](const Tensor& x) { return to(x, DType::float16).detach(); };
  const Tensor q = half(zeros({1, kQueries, 1})), k = half(zeros({1, 2, 1}));
  const Tensor v = half(tensor<float>({4, 0}, {1, 2, 1})), mask = zeros({2}, {.requires_grad = true});
  scaled_dot_product_attention(q, k, v, mask).backward(half(ones({1, kQueries, 1})));
  CHECK(mask.grad().values<float>() == std::vector<float>{90000, -90000});
}

TEST_CASE("attention: the gradient of a half mask is rounded when it is summed, not before") {
  const Tensor mask = to(zeros({2}), DType::float16).detach().set_requires_grad(true);
  const Tensor v = tensor<float>({4, 0}, {1, 2, 1});
  // Three queries of which each gives 1 + 2^-11 to the first score, a float16's 1; their sum is closer to 3 + 2^-9.
  const Tensor g = full({1, 3, 1}, 1 + 0x1p-11);
  scaled_dot_product_attention(zeros({1, 3, 1}), zeros({1, 2, 1}), v, mask).backward(g);
  CHECK(mask.grad().values<double>() == std::vector<double>{3 + 0x1p-9, -3 - 0x1p-9});
}
