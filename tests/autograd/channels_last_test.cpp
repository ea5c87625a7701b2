// Channels-last is nothing but strides: operations on such tensors give the same values.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include <mnemo/autograd/autocast.h>
#include <mnemo/autograd/ops.h>
#include <mnemo/core/random.h>

using namespace mnemo;

namespace {

/// The same tensor with the channels innermost in memory.
Tensor innermost(const Tensor& x) { return permute(contiguous(permute(x, {0, 2, 3, 1})), {0, 3, 1, 2}); }

void check_same(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const auto left = a.array().values<double>(), right = b.array().values<double>();
  for (std::size_t i = 0; i < left.size(); ++i) REQUIRE(std::abs(left[i] - right[i]) < 1e-11);
}

struct Result {
  Tensor y, dx, dweight, mean;
};

Result normalize(bool last, bool training) {
  manual_seed(3);
  const TensorOptions options{.dtype = DType::float64}, trained{.dtype = DType::float64, .requires_grad = true};
  const Tensor leaf = randn({3, 5, 4, 6}, trained), weight = randn({5}, trained), bias = randn({5}, options);
  const Tensor mean = zeros({5}, options), variance = ones({5}, options);
  const Tensor x = last ? innermost(leaf) : leaf;
  CHECK(x.array().is_contiguous() == !last);
  const Tensor y = batch_norm(relu(x), weight, bias, mean, variance, {.training = training});
  CHECK(y.array().is_channels_last() == last);
  sum(y * y * y).backward();
  return {y, leaf.grad(), weight.grad(), mean};
}

}  // namespace

TEST_CASE("channels last: batch normalization has the same values and gradients, and keeps the layout") {
  for (const bool training : {true, false}) {
    const Result row_major = normalize(false, training), last = normalize(true, training);
    check_same(row_major.y, last.y);
    check_same(row_major.dx, last.dx);
    check_same(row_major.dweight, last.dweight);
    check_same(row_major.mean, last.mean);
  }
}

namespace {

struct Values {
  Array y;
  std::vector<Array> gradients;
};

/// op(inputs) and its gradients, the inputs row-major or channels-last.
Values values_of(const std::function<Tensor(const std::vector<Tensor>&)>& op, const std::vector<Array>& inputs,
                 bool last) {
  std::vector<Tensor> tensors;
  for (const Array& x : inputs) {
    const bool moves = last && x.rank() > 2 && is_floating(x.dtype());
    tensors.emplace_back(moves ? x.channels_last() : x, is_floating(x.dtype()));
  }
  // Of gradients on their way to the leaves (which keep row-major ones) the layout is asked with a hook.
  Values result;
  std::vector<Tensor> passed;
  for (const Tensor& x : tensors) passed.push_back(x.requires_grad() ? x * ones({}, {.dtype = x.dtype()}) : x);
  const Tensor y = op(passed);
  result.y = y.array();
  result.gradients.resize(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!passed[i].requires_grad()) continue;
    passed[i].register_hook([&result, i](const Array& g) {
      result.gradients[i] = g;
      return Array();
    });
  }
  std::vector<double> upstream(static_cast<std::size_t>(y.numel()));
  for (std::size_t i = 0; i < upstream.size(); ++i) upstream[i] = std::sin(1.0 + 3.0 * static_cast<double>(i));
  const Array grad = Array::from(upstream, y.shape(), "cpu").to(y.dtype());
  y.backward(Tensor(last && grad.rank() > 2 ? grad.channels_last() : grad));
  return result;
}

}  // namespace

TEST_CASE("channels last: pooling, joining, upsampling and softmax keep the layout and the values") {
  using Inputs = std::vector<Tensor>;
  const std::vector<std::pair<const char*, std::function<Tensor(const Inputs&)>>> ops = {
      {"max_pool2d", [](const Inputs& t) { return max_pool2d(t[0], {.kernel = 3, .stride = 2, .padding = 1}); }},
      {"max_pool2d of a large window",
       [](const Inputs& t) {
         return max_pool2d(t[0], {.kernel = {5, 6}});
       }},
      {"avg_pool2d", [](const Inputs& t) { return avg_pool2d(t[0], {.kernel = 3, .stride = 1, .padding = 1}); }},
      {"concat",
       [](const Inputs& t) {
         return concat({t[0], t[1]}, 1);
       }},
      {"concat of images",
       [](const Inputs& t) {
         return concat({t[0], t[0]}, 0);
       }},
      {"upsample_nearest",
       [](const Inputs& t) {
         return upsample_nearest(t[0], {2, 3});
       }},
      {"interpolate",
       [](const Inputs& t) {
         return interpolate(t[0], {9, 4}, {ResampleMode::cubic});
       }},
      {"adaptive_avg_pool2d",
       [](const Inputs& t) {
         return adaptive_avg_pool2d(t[0], {3, 4});
       }},
      {"relu", [](const Inputs& t) { return relu(t[0]); }},
      {"softmax", [](const Inputs& t) { return softmax(t[0], 1); }},
      {"softmax along a size", [](const Inputs& t) { return log_softmax(t[0], 2); }},
  };
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
    manual_seed(4);
    const std::vector<Array> inputs = {randn({3, 7, 5, 6}).array().to(dtype), randn({3, 4, 5, 6}).array().to(dtype)};
    for (const auto& entry : ops) {
      const auto& op = entry.second;
      CAPTURE(std::string(entry.first));
      CAPTURE(std::string(mnemo::name(dtype)));
      const Values row_major = values_of(op, inputs, false), last = values_of(op, inputs, true);
      CHECK(row_major.y.is_contiguous());
      CHECK(last.y.is_channels_last());
      CHECK(last.y.values<double>() == row_major.y.values<double>());
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (!row_major.gradients[i].defined()) continue;
        CHECK(row_major.gradients[i].is_contiguous());
        CHECK(last.gradients[i].is_channels_last());
        // float64 is summed in float64, here in another order; other types have the same bits.
        if (dtype == DType::float64)
          check_same(Tensor(last.gradients[i]), Tensor(row_major.gradients[i]));
        else
          CHECK(last.gradients[i].values<double>() == row_major.gradients[i].values<double>());
      }
    }
  }
}

TEST_CASE("channels last: a loss of logits, and the gradient behind a mean over the sizes, in that layout") {
  manual_seed(4);
  const Array logits = randn({3, 7, 5, 6}).array();
  std::vector<std::int64_t> classes;
  for (std::int64_t i = 0; i < 3 * 5 * 6; ++i) classes.push_back(i * i % 7);
  const Tensor targets(Array::from(classes, {3, 5, 6}, "cpu"));
  for (const double smoothing : {0.0, 0.1}) {
    const auto loss = [&](const std::vector<Tensor>& t) {
      return cross_entropy(t[0], targets, {.label_smoothing = smoothing, .ignore_index = 4});
    };
    const Values row_major = values_of(loss, {logits}, false), last = values_of(loss, {logits}, true);
    CHECK(last.y.item() == row_major.y.item());
    CHECK(last.gradients[0].is_channels_last());
    CHECK(last.gradients[0].values<double>() == row_major.gradients[0].values<double>());
  }
  const auto head = [](const std::vector<Tensor>& t) { return mean(relu(t[0]), {2, 3}); };
  const Values row_major = values_of(head, {logits}, false), last = values_of(head, {logits}, true);
  CHECK(last.gradients[0].is_channels_last());
  CHECK(last.gradients[0].values<double>() == row_major.gradients[0].values<double>());
}

TEST_CASE("channels last: under autocast a convolution's operands are cast once, into the layout of their device") {
  const auto casts = [](const char* device, bool last) {
    const TensorOptions options{.device = Device::open(device)};
    Tensor weight = ones({8, 4, 3, 3}, options);
    weight.set_requires_grad(true);
    const Tensor x = ones({2, 4, 6, 6}, options), bias = ones({8}, options);
    const AutocastScope half(DType::bfloat16);
    const OperandCast cast("conv2d", {&x, &weight, &bias});
    REQUIRE(cast);
    const Tensor kept = cast.for_conv(weight), images = cast.for_conv(x);
    CHECK(kept.dtype() == DType::bfloat16);
    CHECK(kept.array().is_channels_last() == last);
    CHECK(images.array().is_channels_last() == last);
    CHECK(cast.for_conv(weight).array().storage() == kept.array().storage());
    CHECK(cast.for_conv(bias).array().is_contiguous());
    sum(conv2d(x, weight, bias)).backward();
    CHECK(weight.grad().array().is_contiguous());
    CHECK(weight.grad().dtype() == DType::float32);
  };
  casts("cpu", false);
  casts("virtual:cpu", false);
  casts("virtual:h200", true);
}

TEST_CASE("channels last: an array is copied once, and a size of 1 fits both layouts") {
  const Array x(Shape{2, 3, 4, 5}, DType::float32);
  const Array last = x.channels_last();
  CHECK(last.is_channels_last());
  CHECK_FALSE(last.is_contiguous());
  CHECK(last.strides() == Dims{60, 1, 15, 3});
  CHECK(last.channels_last().storage() == last.storage());
  CHECK(Array(Shape{2, 1, 4, 5}, DType::float32).is_channels_last());
  CHECK(Array(Shape{2, 7, 1, 1}, DType::float32).is_channels_last());
  const Array sequence(Shape{2, 3, 4}, DType::float32);
  CHECK(sequence.channels_last().strides() == Dims{12, 1, 3});
}
