// Bad input to every op: the right type of error, a text that begins with the op and holds the shapes, and nothing
// changed. The calls are rows of tables.
// clang-format off
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/error.h>
#include <mnemo/core/random.h>

using namespace mnemo;

namespace {

struct Bad {
  const char* op;
  std::function<void()> call;
  std::vector<const char*> mentions = {};
};

/// Every call throws E exactly, says who refused and what, and allocates nothing for good.
template <class E>
void check(const std::vector<Bad>& calls) {
  for (const Bad& bad : calls) {
    CAPTURE(bad.op);
    const auto before = Device("cpu").allocator().allocated();
    const RandomState state = random_state();
    std::string text;
    try {
      bad.call();
    } catch (const E& error) {
      text = error.what();
    } catch (const std::exception& error) {
      FAIL_CHECK("another error: " << error.what());
      continue;
    }
    CAPTURE(text);
    CHECK(text.rfind(std::string("[") + bad.op + "] ", 0) == 0);
    for (const char* part : bad.mentions) {
      CAPTURE(part);
      CHECK(text.find(part) != std::string::npos);
    }
    CHECK(Device("cpu").allocator().allocated() == before);
    CHECK(random_state().offset == state.offset);
    CHECK(std::string(memory::current_tag().op).empty());
  }
}

Tensor of(const Shape& shape, DType dtype = DType::float32) { return zeros(shape, {.dtype = dtype}); }
Tensor counts(const Shape& shape) { return of(shape, DType::int64); }

}  // namespace

TEST_CASE("an undefined tensor is an error in every op and every property, never a crash") {
  const Tensor none, x = of({2, 3, 4}), v = of({3}), i = counts({2, 3, 4});
  Tensor target;
  const std::vector<std::function<void()>> calls{
      [&] { (void)(none + x); }, [&] { (void)(x + none); }, [&] { (void)(none - x); }, [&] { (void)(x - none); },
      [&] { (void)(none * x); }, [&] { (void)(x * none); }, [&] { (void)(none / x); }, [&] { (void)(x / none); },
      [&] { (void)(none + none); }, [&] { (void)(none + 1.0); }, [&] { (void)(none - 1.0); }, [&] { (void)(none * 1.0); },
      [&] { (void)(none / 1.0); }, [&] { (void)(1.0 + none); }, [&] { (void)(1.0 - none); }, [&] { (void)(1.0 * none); },
      [&] { (void)(1.0 / none); }, [&] { (void)(-none); }, [&] { (void)maximum(none, x); }, [&] { (void)maximum(x, none); },
      [&] { (void)minimum(none, x); }, [&] { (void)minimum(x, none); }, [&] { (void)equal(none, x); }, [&] { (void)equal(x, none); },
      [&] { (void)less(none, x); }, [&] { (void)less(x, none); }, [&] { (void)less(none, 1); }, [&] { (void)greater(x, none); },
      [&] { (void)greater_equal(none, x); }, [&] { (void)not_equal(none, 2.0); }, [&] { (void)where(none, x, x); },
      [&] { (void)where(equal(x, x), none, x); }, [&] { (void)where(equal(x, x), x, none); }, [&] { (void)where(none, x, 1); }, [&] { (void)where(equal(x, x), 1, none); },
      [&] { (void)pow(none, 2); }, [&] { (void)abs(none); },
      [&] { (void)exp(none); }, [&] { (void)log(none); }, [&] { (void)sqrt(none); }, [&] { (void)sin(none); }, [&] { (void)cos(none); },
      [&] { (void)relu(none); }, [&] { (void)leaky_relu(none); }, [&] { (void)sigmoid(none); }, [&] { (void)tanh(none); },
      [&] { (void)gelu(none); }, [&] { (void)silu(none); }, [&] { (void)clamp(none, 0, 1); },
      [&] { (void)relu_bits(none); }, [&] { relu_bits_(target); }, [&] { (void)batch_norm_relu(none, {}, {}, {}, {}); },
      [&] { (void)batch_norm_leaky_relu(none, {}, {}, {}, {}); },
      [&] { (void)batch_norm_add_relu(none, x, {}, {}, {}, {}); }, [&] { (void)batch_norm_add_relu(x, none, {}, {}, {}, {}); },
      [&] { relu_(target); }, [&] { sigmoid_(target); }, [&] { tanh_(target); }, [&] { add_(target, x); }, [&] { sub_(target, x); },
      [&] { mul_(target, x); }, [&] { add_(target, 1.0); }, [&] { mul_(target, 1.0); }, [&] { fill_(target, 1.0); },
      [&] { copy_(target, x); }, [&] { Tensor y = of({2}); add_(y, none); }, [&] { Tensor y = of({2}); mul_(y, none); },
      [&] { Tensor y = of({2}); copy_(y, none); },
      [&] { (void)sum(none); }, [&] { (void)sum(none, {0}); }, [&] { (void)sum(none, {}); }, [&] { (void)mean(none); },
      [&] { (void)mean(none, {0}); }, [&] { (void)max(none, 0); }, [&] { (void)min(none, 0); }, [&] { (void)arg_max(none, 0); },
      [&] { (void)reshape(none, {1}); }, [&] { (void)flatten(none); }, [&] { (void)flatten(none, 0); }, [&] { (void)permute(none, {}); },
      [&] { (void)transpose(none, 0, 0); }, [&] { (void)slice(none, 0, 0, 0); }, [&] { (void)expand(none, {2}); },
      [&] { (void)squeeze(none, 0); }, [&] { (void)unsqueeze(none, 0); }, [&] { (void)contiguous(none); },
      [&] { (void)concat({none, x}, 0); }, [&] { (void)concat({x, none}, 0); }, [&] { (void)concat({none}, 0); },
      [&] { (void)to(none, DType::float32); }, [&] { (void)to(none, DType::float64); }, [&] { (void)to(none, DType::int64); },
      [&] { (void)to(none, Device("virtual:cpu")); }, [&] { (void)gather(none, 0, i); }, [&] { (void)gather(x, 0, none); },
      [&] { (void)stack({x, none}); }, [&] { (void)stack({none}); }, [&] { (void)split(none, 0, 1); }, [&] { (void)split(none, 0, {1, 1}); },
      [&] { (void)chunk(none, 0, 1); }, [&] { (void)select(none, 0, 0); }, [&] { (void)pad(none, {{1, 1}}); }, [&] { (void)index_select(none, 0, i); }, [&] { (void)index_select(x, 0, none); },
      [&] { (void)index_add(none, 0, i, x); }, [&] { (void)index_add(x, 0, none, x); }, [&] { (void)scatter_add(none, 0, i, x); }, [&] { (void)scatter_add(x, 0, i, none); },
      [&] { (void)embedding(none, i); }, [&] { (void)embedding(x, none); }, [&] { (void)variance(none); }, [&] { (void)standard_deviation(none, {0}); },
      [&] { (void)norm(none); }, [&] { (void)norm(none, {0}); },
      [&] { (void)max(none); }, [&] { (void)log_sum_exp(none); }, [&] { (void)cumsum(none, 0); }, [&] { (void)clone(none); }, [&] { (void)flip(none, {0}); },
      [&] { (void)tril(none); }, [&] { (void)one_hot(none, 2); }, [&] { (void)adaptive_avg_pool1d(none, 2); }, [&] { (void)in_top_k(none, i); },
      [&] { (void)softplus(none); }, [&] { (void)elu(none); }, [&] { (void)sign(none); }, [&] { (void)gelu_tanh(none); }, [&] { (void)hardswish(none); }, [&] { (void)mish(none); }, [&] { (void)prelu(none, v); }, [&] { (void)prelu(x, none); },
      [&] { (void)matmul(none, x); }, [&] { (void)matmul(x, none); }, [&] { (void)matmul(none, v); }, [&] { (void)matmul(v, none); },
      [&] { (void)matmul(none, none); }, [&] { (void)linear(none, of({2, 3})); }, [&] { (void)linear(x, none); },
      [&] { (void)conv1d(none, x); }, [&] { (void)conv1d(x, none); }, [&] { (void)conv2d(none, x); }, [&] { (void)conv3d(none, none); },
      [&] { (void)max_pool1d(none, {}); }, [&] { (void)max_pool2d(none, {}); }, [&] { (void)max_pool3d(none, {}); },
      [&] { (void)avg_pool1d(none, {}); }, [&] { (void)avg_pool2d(none, {}); }, [&] { (void)avg_pool3d(none, {}); },
      [&] { (void)upsample_nearest(none, 2); },
      [&] { (void)batch_norm(none, {}, {}, {}, {}); }, [&] { (void)batch_norm(none, v, v, v, v, {.training = false}); },
      [&] { (void)dropout(none); }, [&] { (void)dropout(none, 0.5, false); }, [&] { (void)dropout(none, 0); },
      [&] { (void)softmax(none, 0); }, [&] { (void)log_softmax(none, 0); }, [&] { (void)cross_entropy(none, i); },
      [&] { (void)cross_entropy(x, none); }, [&] { (void)mse_loss(none, x); }, [&] { (void)mse_loss(x, none); },
      [&] { (void)mse_loss(none, none); }, [&] { (void)l1_loss(none, x); }, [&] { (void)huber_loss(x, none); }, [&] { (void)nll_loss(none, i); },
      [&] { (void)nll_loss(x, none); }, [&] { (void)binary_cross_entropy_with_logits(none, x); }, [&] { (void)kl_div(x, none); },
      [&] { (void)layer_norm(none, {4}); }, [&] { (void)group_norm(none, 1); }, [&] { (void)conv_transpose1d(none, x); }, [&] { (void)conv_transpose1d(x, none); },
      [&] { (void)scaled_dot_product_attention(none, x, x); }, [&] { (void)scaled_dot_product_attention(x, none, x); },
      [&] { (void)scaled_dot_product_attention(x, x, none); },
      [&] { (void)none.shape(); }, [&] { (void)none.dtype(); }, [&] { (void)none.device(); }, [&] { (void)none.rank(); },
      [&] { (void)none.size(0); }, [&] { (void)none.numel(); }, [&] { (void)none.item(); }, [&] { (void)none.values<float>(); },
      [&] { none.backward(); }, [&] { none.backward(x); }, [&] { target.set_requires_grad(true); }, [&] { target.retain_grad(); },
      [&] { target.set_grad(x); }, [&] { target.register_hook({}); }, [&] { (void)Tensor(Array(), true); },
  };
  for (std::size_t at = 0; at < calls.size(); ++at) {
    CAPTURE(at);
    std::string text = "no error";
    try {
      calls[at]();
    } catch (const Error& error) {
      text = error.what();
    }
    CAPTURE(text);
    CHECK(text.rfind("[", 0) == 0);
  }
  CHECK_FALSE(target.defined());
  CHECK_FALSE(none.requires_grad());
  CHECK_FALSE(none.grad().defined());
  CHECK_FALSE(none.detach().defined());
  target.zero_grad();
}

TEST_CASE("wrong shapes") {
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  check<ShapeError>({
      {"add", [] { (void)(of({2, 3}) + of({4})); }, {"(2, 3)", "(4)"}},
      {"divide", [] { (void)(of({2, 3}) / of({3, 2})); }, {"(2, 3)", "(3, 2)"}},
      {"maximum", [] { (void)maximum(of({2}), of({3})); }, {"(2)", "(3)"}},
      {"less", [] { (void)less(of({2}), of({0})); }, {"(2)", "(0)"}},
      {"not_equal", [] { (void)not_equal(of({2}), of({0})); }, {"(2) and (0)"}},
      {"greater", [] { (void)greater(of({2}), of({0})); }, {"(2) and (0)"}},
      {"greater_equal", [] { (void)greater_equal(of({2}), of({0})); }, {"(2) and (0)"}},
      {"where", [] { (void)where(of({2}, DType::boolean), of({2}), of({3})); }, {"(2)", "(3)"}},
      {"where", [] { (void)where(of({4}, DType::boolean), of({2, 1}), of({3})); }, {"(4)", "(2, 3)"}},
      {"sum", [] { (void)sum(of({2, 3}), {2}); }, {"axis 2", "2 dimensions"}},
      {"sum", [] { (void)sum(of({2, 3}), {0, -2}); }, {"axis -2", "twice"}},
      {"mean", [] { (void)mean(of({2, 3}), {-3}); }, {"axis -3"}},
      {"max", [] { (void)max(of({2, 3}), 2); }, {"axis 2"}}, {"max", [] { (void)max(of({2, 0}), 1); }, {"(2, 0)"}},
      {"min", [] { (void)min(of({}), 0); }, {"axis 0"}},
      {"arg_max", [] { (void)arg_max(of({2, 0}), 1); }, {"(2, 0)"}},
      {"reshape", [] { (void)reshape(of({2, 3}), {4}); }, {"(2, 3)", "(4)"}},
      {"reshape", [] { (void)reshape(of({2, 3}), {-1, 4}); }, {"(2, 3)", "(-1, 4)"}},
      {"reshape", [] { (void)reshape(of({2, 3}), {-1, -1}); }, {"-1"}},
      {"reshape", [] { (void)reshape(of({0}), {-1, 0}); }},
      {"reshape", [] { (void)reshape(of({2}), {-2, -1}); }, {"(2)", "(-2, -1)"}},
      {"shape", [] { (void)reshape(of({2}), {-2}); }, {"(-2)"}},
      {"shape", [] { (void)reshape(of({2}), {huge, huge}); }},
      {"flatten", [] { (void)flatten(of({2, 3}), 2); }, {"axis 2"}},
      {"permute", [] { (void)permute(of({2, 3}), {0, 0}); }, {"(0, 0)", "(2, 3)"}},
      {"permute", [] { (void)permute(of({2, 3}), {0}); }, {"(0)", "(2, 3)"}},
      {"transpose", [] { (void)transpose(of({2, 3}), 0, 2); }, {"axis 2"}},
      {"slice", [] { (void)slice(of({2, 3}), 1, 1, 4); }, {"(2, 3)"}},
      {"slice", [] { (void)slice(of({2, 3}), 1, 0, 2, 0); }, {"step 0"}},
      {"slice", [] { (void)slice(of({2, 3}), 1, 2, 1); }, {"2:1"}},
      {"slice", [] { (void)slice(of({2, 3}), 1, -1, 1); }, {"-1"}},
      {"expand", [] { (void)expand(of({2, 3}), {2, 4}); }, {"(2, 3)", "(2, 4)"}},
      {"expand", [] { (void)expand(of({2, 3}), {3}); }, {"(2, 3)", "(3)"}},
      {"squeeze", [] { (void)squeeze(of({2, 3}), 0); }, {"(2, 3)"}},
      {"select", [] { (void)select(of({2, 3}), 1, 3); }, {"index 3", "axis 1 of (2, 3)", "-3 to 2"}},
      {"select", [] { (void)select(of({2, 0}), -1, 0); }, {"index 0", "axis 1 of (2, 0)"}},
      {"unsqueeze", [] { (void)unsqueeze(of({2, 3}), 4); }, {"axis 4"}},
      {"shape", [] { (void)unsqueeze(of({1, 1, 1, 1, 1, 1, 1, 1}), 0); }, {"8"}},
      {"concat", [] { (void)concat({of({2, 3}), of({2, 4})}, 0); }, {"(2, 3)", "(2, 4)"}},
      {"concat", [] { (void)concat({of({2, 3}), of({2})}, 0); }, {"(2, 3)", "(2)"}},
      {"concat", [] { (void)concat(std::span<const Tensor>(), 0); }},
      {"concat", [] { (void)concat({of({2})}, 1); }, {"axis 1"}},
      {"gather", [] { (void)gather(of({2, 3}), 1, counts({3, 1})); }, {"(2, 3)", "(3, 1)"}},
      {"gather", [] { (void)gather(of({2, 3}), 1, counts({2})); }, {"(2, 3)", "(2)"}},
      {"gather", [] { (void)gather(of({2, 3}), 1, tensor<std::int64_t>({0, 3}, {2, 1})); }, {"3", "(2, 3)"}},
      {"gather", [] { (void)gather(of({2, 3}), 1, tensor<std::int64_t>({0, -1}, {2, 1})); }, {"-1", "(2, 3)"}},
      {"gather", [] { (void)gather(of({0, 3}), 0, counts({1, 3})); }, {"(0, 3)", "(1, 3)"}},
      {"stack", [] { (void)stack({of({2, 3}), of({3})}); }, {"(2, 3)", "(3)", "concat"}},
      {"stack", [] { (void)stack(std::span<const Tensor>()); }},
      {"unsqueeze", [] { (void)stack({of({2, 3})}, 3); }, {"axis 3"}},
      {"split", [] { (void)split(of({2, 3}), 1, {1, 1}); }, {"(1, 1)", "(2, 3)", "axis 1"}},
      {"split", [] { (void)split(of({2, 3}), 1, {4, -1}); }, {"(4, -1)"}},
      {"split", [=] { (void)split(of({2, 3}), 1, {huge, huge, 5}); }, {"(2, 3)"}},
      {"split", [] { (void)split(of({2, 3}), 1, 0); }, {"0"}},
      {"chunk", [] { (void)chunk(of({2, 3}), 2, 1); }, {"axis 2"}},
      {"chunk", [] { (void)chunk(of({2, 3}), 1, 0); }, {"0 parts", "(2, 3)"}},
      {"pad", [] { (void)pad(of({2}), {{1, 1}, {1, 1}}); }, {"2 axes", "(2)"}},
      {"pad", [] { (void)pad(of({2, 3}), {{-1, 1}}); }, {"(-1, 1)", "axis 1", "(2, 3)"}},
      {"pad", [=] { (void)pad(of({2, 3}), {{huge, 1}}); }, {"(2, 3)", "overflows"}},
      {"index_select", [] { (void)index_select(of({2, 3}), 1, tensor<std::int64_t>({3}, {1})); }, {"index 3", "0 to 2"}},
      {"index_select", [] { (void)index_select(of({2, 3}), 0, tensor<std::int64_t>({-1}, {1})); }, {"index -1", "(2, 3)", "0 to 1"}},
      {"index_select", [] { (void)index_select(of({2, 3}), 0, counts({1, 1})); }, {"(1, 1)", "one dimension"}},
      {"index_select", [] { (void)index_select(of({0, 3}), 0, counts({1})); }, {"(0, 3)"}},
      {"index_select", [] { (void)index_select(of({2, 3}), 2, counts({1})); }, {"axis 2"}},
      {"embedding", [] { (void)embedding(of({2, 3}), tensor<std::int64_t>({0, 2}, {2, 1})); }, {"index 2", "(2, 3)", "0 to 1"}},
      {"embedding", [] { (void)embedding(of({2, 3, 4}), counts({1})); }, {"(2, 3, 4)"}},
      {"variance", [] { (void)variance(of({2, 3}), {2}); }, {"axis 2"}},
      {"norm", [] { (void)norm(of({2, 3}), {0, 0}); }, {"twice"}},
      {"matmul", [] { (void)matmul(of({2, 3}), of({2, 3})); }, {"(2, 3) x (2, 3)"}},
      {"matmul", [] { (void)matmul(of({3}), of({2})); }, {"(3) x (2)"}},
      {"matmul", [] { (void)matmul(of({2, 3}), of({2})); }, {"(2, 3) x (2)"}},
      {"matmul", [] { (void)matmul(of({2}), of({3, 2})); }, {"(2) x (3, 2)"}},
      {"matmul", [] { (void)matmul(of({}), of({3, 2})); }, {"() and (3, 2)"}},
      {"matmul", [] { (void)matmul(of({}), of({3})); }, {"() and (3)"}},
      {"matmul", [] { (void)matmul(of({2, 3, 4}), of({3, 4, 5})); }, {"(2)", "(3)"}},
      {"linear", [] { (void)linear(of({2, 3}), of({4, 2})); }, {"(2, 3)", "(4, 2)"}},
      {"linear", [] { (void)linear(of({}), of({4, 2})); }, {"()", "(4, 2)"}},
      {"linear", [] { (void)linear(of({2, 3}), of({3})); }, {"(2, 3)", "(3)"}},
      {"linear", [] { (void)linear(of({2, 3}), of({4, 3}), of({3})); }, {"(3)", "(4, 3)"}},
      {"batch_norm", [] { (void)batch_norm(of({3}), {}, {}, {}, {}); }, {"(3)"}},
      {"batch_norm", [] { (void)batch_norm(of({2, 3}), of({2}), {}, {}, {}); }, {"(2)", "(2, 3)"}},
      {"batch_norm_relu", [] { (void)batch_norm_relu(of({2, 3}), of({2}), {}, {}, {}); }, {"(2)", "(2, 3)"}},
      {"batch_norm_leaky_relu", [] { (void)batch_norm_leaky_relu(of({2, 3}), {}, of({2}), {}, {}); }, {"(2)", "(2, 3)"}},
      {"batch_norm_add_relu", [] { (void)batch_norm_add_relu(of({2, 3}), of({2, 3}), of({2}), {}, {}, {}); }, {"(2)", "(2, 3)"}},
      {"batch_norm_add_relu", [] { (void)batch_norm_add_relu(of({2, 3}), of({1, 3}), {}, {}, {}, {}); }, {"(1, 3)", "(2, 3)"}},
      {"batch_norm", [] { (void)batch_norm(of({2, 3}), {}, {}, of({4}), of({3})); }, {"(4)", "(2, 3)"}},
      {"batch_norm", [] { (void)batch_norm(of({1, 3}), {}, {}, {}, {}); }, {"(1, 3)"}},
      {"batch_norm", [] { (void)batch_norm(of({2, 3}), {}, {}, {}, {}, {.epsilon = -1}); }, {"-1"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({2, 3, 4}), of({2, 5, 4}), of({2, 4, 4})); }, {"(2, 3, 4)", "(2, 5, 4)", "(2, 4, 4)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({2, 3, 4}), of({2, 5, 3}), of({2, 5, 4})); }, {"(2, 5, 3)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({2, 3, 4}), of({1, 5, 4}), of({1, 5, 4})); }, {"(1, 5, 4)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({2, 3, 4}), of({2, 5, 4}), of({5, 4})); }, {"values (5, 4)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({4}), of({4}), of({4})); }, {"(4)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({3, 0}), of({3, 0}), of({3, 4})); }, {"(3, 0)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({1, 1, 1, 3, 4}), of({1, 1, 1, 3, 4}), of({1, 1, 1, 3, 4})); }, {"(1, 1, 1, 3, 4)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({2, 3, 4}), of({2, 5, 4}), of({2, 5, 4}), of({3, 4})); }, {"mask (3, 4)", "(2, 3, 5)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({3, 4}), of({5, 4}), of({5, 4}), of({1, 3, 5})); }, {"mask (1, 3, 5)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({3, 4}), of({5, 4}), of({5, 4}), {}, {.dropout = 1.5}); }, {"1.5"}},
      {"layer_norm", [] { (void)layer_norm(of({2, 3}), {4}); }, {"(2, 3)", "(4)"}},
      {"layer_norm", [] { (void)layer_norm(of({3}), {2, 3}); }, {"(3)", "(2, 3)"}},
      {"layer_norm", [] { (void)layer_norm(of({2, 3}), {}); }, {"(2, 3)", "()"}},
      {"layer_norm", [] { (void)layer_norm(of({2, 3}), {3}, of({2})); }, {"weight (2)", "(3)", "(2, 3)"}},
      {"layer_norm", [] { (void)layer_norm(of({2, 3}), {3}, {}, {}, -1); }, {"-1"}},
      {"group_norm", [] { (void)group_norm(of({2, 3}), 2); }, {"groups 2", "(2, 3)"}},
      {"group_norm", [] { (void)group_norm(of({3}), 1); }, {"(3)"}},
      {"group_norm", [] { (void)group_norm(of({2, 4}), 2, {}, of({2})); }, {"bias (2)", "(4)"}},
      {"conv_transpose1d", [] { (void)conv_transpose1d(of({1, 2, 3}), of({3, 2, 3})); }, {"(3, 2, 3)", "(1, 2, 3)"}},
      {"conv_transpose2d", [] { (void)conv_transpose2d(of({1, 2, 3}), of({2, 2, 3})); }, {"4 dimensions"}},
      {"conv_transpose1d", [] { (void)conv_transpose1d(of({1, 2, 3}), of({2, 2, 3}), {}, {.padding = 3}); }, {"padding 3"}},
      {"conv_transpose1d", [] { (void)conv_transpose1d(of({1, 2, 3}), of({2, 2, 3}), {}, {.stride = 2, .output_padding = 2}); }, {"output_padding 2", "stride 2"}},
      {"conv_transpose1d", [] { (void)conv_transpose1d(of({1, 2, 3}), of({2, 2, 3}), of({3})); }, {"bias (3)", "2 output"}},
      {"conv_transpose1d", [] { (void)conv_transpose1d(of({1, 2, 3}), of({2, 2, 3}), {}, {.groups = 3}); }, {"groups 3"}},
      {"conv_transpose1d", [] { (void)conv_transpose1d(of({1, 2, 0}), of({2, 2, 3})); }, {"(1, 2, 0)"}},
      {"dropout", [] { (void)dropout(of({2}), 1.5); }, {"1.5"}},
      {"dropout", [] { (void)dropout(of({2}), std::nan("")); }, {"nan"}},
      {"softmax", [] { (void)softmax(of({2}), 1); }, {"axis 1"}},
      {"log_softmax", [] { (void)log_softmax(of({}), 0); }, {"axis 0"}},
      {"cross_entropy", [] { (void)cross_entropy(of({2, 3}), counts({3})); }, {"(2, 3)", "(3)"}},
      {"cross_entropy", [] { (void)cross_entropy(of({2, 3, 4}), counts({2, 3})); }, {"(2, 3, 4)", "(2, 3)"}},
      {"cross_entropy", [] { (void)cross_entropy(of({1, 3}), tensor<std::int64_t>({3}, {1})); }, {"target 3", "(1, 3)"}},
      {"cross_entropy", [] { (void)cross_entropy(of({1, 3}), tensor<std::int64_t>({-100}, {1})); }, {"target -100", "ignore_index"}},
      {"cross_entropy", [] { (void)cross_entropy(of({1, 3}), counts({1}), {.label_smoothing = 2}); }, {"2"}},
      {"mse_loss", [] { (void)mse_loss(of({2}), of({2, 1})); }, {"(2)", "(2, 1)"}},
      {"l1_loss", [] { (void)l1_loss(of({2}), of({2, 1})); }, {"(2)", "(2, 1)"}},
      {"smooth_l1_loss", [] { (void)smooth_l1_loss(of({2}), of({2}), -1); }, {"-1"}},
      {"huber_loss", [] { (void)huber_loss(of({2}), of({2}), 0); }, {"0"}},
      {"nll_loss", [] { (void)nll_loss(of({2, 3}), counts({3})); }, {"(2, 3)", "(3)"}},
      {"gather", [] { (void)nll_loss(of({1, 3}), tensor<std::int64_t>({3}, {1})); }, {"3", "0 to 2"}},
      {"binary_cross_entropy_with_logits", [] { (void)binary_cross_entropy_with_logits(of({2}), of({3})); }, {"(2)", "(3)"}},
      {"kl_div", [] { (void)kl_div(of({2}), of({3})); }, {"(2)", "(3)"}},
      {"randint", [] { (void)randint(3, 3, {2}); }, {"[3, 3)"}},
      {"randint", [] { (void)randint(0, 1LL << 60, {2}); }, {"2^53 = 9007199254740992"}},
      {"shape", [] { (void)of({2, -1}); }, {"(2, -1)"}},
      {"from", [] { (void)tensor<float>({1, 2}, {3}); }, {"(3)"}},
      {"item", [] { (void)of({2}).item(); }, {"(2)"}},
      {"size", [] { (void)of({2}).size(1); }, {"axis 1"}},
  });
}

TEST_CASE("convolutions and pools that do not exist") {
  const auto conv = [](Shape x, Shape w, ConvOptions options) {
    return [=] { (void)conv2d(of(x), of(w), {}, options); };
  };
  const auto pool = [](Shape x, PoolOptions options) {
    return [=] { (void)max_pool2d(of(x), options); };
  };
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const Shape x{1, 4, 8, 8}, w{6, 4, 3, 3};
  check<ShapeError>({
      {"conv2d", conv({1, 4, 8}, w, {}), {"(1, 4, 8)", "(6, 4, 3, 3)"}},
      {"conv1d", [] { (void)conv1d(of({1, 4, 8, 8}), of({6, 4, 3})); }, {"(1, 4, 8, 8)", "(6, 4, 3)"}},
      {"conv3d", [] { (void)conv3d(of({1, 4, 8, 8, 8}), of({6, 3, 3, 3, 3})); }, {"(1, 4, 8, 8, 8)", "(6, 3, 3, 3, 3)"}},
      {"conv2d", conv(x, w, {.groups = 3}), {"groups 3", "(1, 4, 8, 8)", "(6, 4, 3, 3)"}},
      {"conv2d", conv(x, w, {.groups = 2}), {"(1, 4, 8, 8)", "(6, 4, 3, 3)"}},
      {"conv2d", conv(x, w, {.groups = 0}), {"groups 0"}},
      {"conv2d", conv(x, w, {.groups = -2}), {"groups -2"}},
      {"conv2d", conv({1, 0, 8, 8}, {0, 3, 1, 1}, {.groups = huge}), {"(1, 0, 8, 8)"}},
      {"conv2d", conv(x, w, {.stride = 0}), {"stride is 0"}},
      {"conv2d", conv(x, w, {.stride = {1, -1}}), {"stride is -1"}},
      {"conv2d", conv(x, w, {.padding = -1}), {"padding is -1"}},
      {"conv2d", conv(x, w, {.dilation = 0}), {"dilation is 0"}},
      {"conv2d", conv(x, w, {.dilation = huge}), {"dilation"}},
      {"conv2d", conv(x, w, {.padding = huge}), {"padding"}},
      {"conv2d", conv(x, w, {.stride = {1, 2, 3}}), {"3 numbers", "stride"}},
      {"conv2d", conv(x, w, {.padding = {1, 2, 3, 4}}), {"4 numbers", "padding"}},
      {"conv2d", conv(x, w, {.padding = "full"}), {"full"}},
      {"conv2d", conv(x, w, {.stride = 2, .padding = "same"}), {"same", "stride 1"}},
      {"conv2d", conv(x, {6, 4, 9, 3}, {}), {"(1, 4, 8, 8)", "kernel of 9"}},
      {"conv2d", conv(x, w, {.dilation = 4}), {"dilation 4", "(1, 4, 8, 8)"}},
      {"conv2d", conv({1, 4, 0, 8}, w, {}), {"(1, 4, 0, 8)"}},
      {"conv2d", conv(x, {6, 4, 0, 3}, {}), {"(6, 4, 0, 3)"}},
      {"conv2d", [=] { (void)conv2d(of(x), of(w), of({4})); }, {"(4)", "(6, 4, 3, 3)"}},
      {"max_pool2d", pool({4, 8}, {}), {"(4, 8)"}},
      {"max_pool2d", pool(x, {.kernel = 0}), {"kernel is 0"}},
      {"max_pool2d", pool(x, {.kernel = 9}), {"(1, 4, 8, 8)"}},
      {"max_pool2d", pool(x, {.stride = -1}), {"stride is -1"}},
      {"max_pool2d", pool(x, {.padding = -1}), {"padding is -1"}},
      {"max_pool2d", pool(x, {.kernel = 3, .padding = 2}), {"padding 2", "kernel 3"}},
      {"max_pool2d", pool(x, {.dilation = 0}), {"dilation is 0"}},
      {"max_pool2d", pool(x, {.kernel = {1, 2, 3}}), {"3 numbers"}},
      {"avg_pool1d", [] { (void)avg_pool1d(of({2, 3, 0}), {}); }, {"(2, 3, 0)"}},
      {"avg_pool3d", [] { (void)avg_pool3d(of({2, 3}), {}); }, {"(2, 3)"}},
      {"upsample_nearest", [] { (void)upsample_nearest(of({4, 8}), 2); }, {"(4, 8)", "(N, C, 1 to 3 sizes)"}},
      {"upsample_nearest", [=] { (void)upsample_nearest(of(x), 0); }, {"scale is 0"}},
      {"upsample_nearest", [=] { (void)upsample_nearest(of(x), {2, 2, 2}); }, {"3 numbers given for scale"}},
  });
}

TEST_CASE("wrong dtypes") {
  const auto unary = [](const char* op, Tensor (*f)(const Tensor&)) { return Bad{op, [f] { (void)f(counts({2, 3})); }, {"(2, 3)", "int64"}}; };
  check<DTypeError>({
      unary("exp", exp), unary("relu", relu), unary("abs", abs), unary("gelu", gelu), unary("log", log), unary("sigmoid", sigmoid),
      {"mean", [] { (void)mean(counts({2})); }, {"int64"}},
      {"where", [] { (void)where(of({2}), of({2}), of({2})); }, {"condition (2)", "float32", "bool"}},
      {"matmul", [] { (void)matmul(counts({2, 2}), counts({2, 2})); }, {"int64"}},
      {"matmul", [] { (void)matmul(of({2, 3}), of({3, 2}, DType::float64)); }, {"float64", "float32"}},
      {"linear", [] { (void)linear(of({2, 3}), of({3, 3}, DType::float64)); }, {"float64", "float32"}},
      {"linear", [] { (void)linear(of({2, 3}), of({3, 3}), of({3}, DType::float16)); }, {"float16", "float32"}},
      {"linear", [] { (void)linear(counts({2, 3}), counts({3, 3})); }, {"int64"}},
      {"conv1d", [] { (void)conv1d(counts({1, 1, 3}), counts({1, 1, 1})); }, {"int64"}},
      {"conv1d", [] { (void)conv1d(of({1, 1, 3}), of({1, 1, 1}, DType::float16)); }, {"float16", "float32"}},
      {"conv1d", [] { (void)conv1d(of({1, 1, 3}), of({1, 1, 1}), counts({1})); }, {"int64"}},
      {"max_pool1d", [] { (void)max_pool1d(counts({1, 4}), {}); }, {"int64"}},
      {"batch_norm", [] { (void)batch_norm(counts({2, 3}), {}, {}, {}, {}); }, {"int64"}},
      {"batch_norm", [] { (void)batch_norm(of({2, 3}), counts({3}), {}, {}, {}); }, {"int64"}},
      {"batch_norm_add_relu", [] { (void)batch_norm_add_relu(of({2, 3}), counts({2, 3}), {}, {}, {}, {}); }, {"int64"}},
      {"dropout", [] { (void)dropout(counts({2})); }, {"int64"}},
      {"softmax", [] { (void)softmax(counts({2}), 0); }, {"int64"}},
      {"cross_entropy", [] { (void)cross_entropy(counts({2, 3}), counts({2})); }, {"int64"}},
      {"cross_entropy", [] { (void)cross_entropy(of({2, 3}), of({2})); }, {"float32", "int64"}},
      {"mse_loss", [] { (void)mse_loss(counts({2}), counts({2})); }, {"int64"}},
      {"nll_loss", [] { (void)nll_loss(of({2, 3}), of({2})); }, {"float32", "int64"}},
      {"binary_cross_entropy_with_logits", [] { (void)binary_cross_entropy_with_logits(of({2}), counts({2})); }, {"int64"}},
      {"kl_div", [] { (void)kl_div(of({2}), counts({2})); }, {"int64"}},
      {"gather", [] { (void)gather(of({2}), 0, of({2})); }, {"float32", "int64"}},
      {"index_select", [] { (void)index_select(of({2}), 0, of({2})); }, {"float32", "int64"}},
      {"embedding", [] { (void)embedding(of({2, 3}), of({2, 2})); }, {"(2, 2)", "float32", "to(x, DType::int64)"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(counts({2, 3}), counts({2, 3}), counts({2, 3})); }, {"int64"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({2, 3}), of({2, 3}, DType::float64), of({2, 3})); }, {"keys (2, 3)", "float64"}},
      {"scaled_dot_product_attention", [] { (void)scaled_dot_product_attention(of({2, 3}), of({2, 3}), of({2, 3}), counts({2, 2})); }, {"int64"}},
      {"variance", [] { (void)variance(counts({2})); }, {"int64"}},
      {"norm", [] { (void)norm(counts({2})); }, {"int64"}},
      {"requires_grad", [] { (void)counts({2}).set_requires_grad(true); }, {"int64"}},
      {"requires_grad", [] { (void)ones({2}, {.dtype = DType::boolean, .requires_grad = true}); }, {"bool"}},
      {"randn", [] { (void)randn({2}, {.dtype = DType::int32}); }, {"int32"}},
      {"rand", [] { (void)rand({2}, {.dtype = DType::boolean}); }, {"bool"}},
  });
}

TEST_CASE("operands on different devices") {
  const auto away = [](const Shape& shape, DType dtype = DType::float32) { return zeros(shape, {.dtype = dtype, .device = Device("virtual:cpu")}); };
  check<DeviceError>({
      {"add", [=] { (void)(of({2}) + away({2})); }, {"cpu", "virtual:cpu"}},
      {"less", [=] { (void)less(of({2}), away({2})); }, {"virtual:cpu"}},
      {"greater", [=] { (void)greater(of({2}), away({2})); }, {"virtual:cpu"}},
      {"where", [=] { (void)where(away({2}, DType::boolean), of({2}), of({2})); }, {"virtual:cpu"}},
      {"concat", [=] { (void)concat({of({2}), away({2})}, 0); }, {"virtual:cpu"}},
      {"gather", [=] { (void)gather(of({2}), 0, away({2}, DType::int64)); }, {"virtual:cpu"}},
      {"embedding", [=] { (void)embedding(of({2, 3}), away({2}, DType::int64)); }, {"virtual:cpu"}},
      {"matmul", [=] { (void)matmul(of({2, 2}), away({2, 2})); }, {"virtual:cpu"}},
      {"matmul", [=] { (void)matmul(of({2}), away({2})); }, {"virtual:cpu"}},
      {"linear", [=] { (void)linear(of({2, 2}), away({2, 2})); }, {"virtual:cpu"}},
      {"linear", [=] { (void)linear(of({2, 2}), of({2, 2}), away({2})); }, {"virtual:cpu"}},
      {"conv1d", [=] { (void)conv1d(of({1, 1, 3}), away({1, 1, 1})); }, {"virtual:cpu"}},
      {"conv1d", [=] { (void)conv1d(of({1, 1, 3}), of({1, 1, 1}), away({1})); }, {"virtual:cpu"}},
      {"batch_norm", [=] { (void)batch_norm(of({2, 3}), away({3}), {}, {}, {}); }, {"virtual:cpu", "(3)", "(2, 3)"}},
      {"batch_norm_add_relu", [=] { (void)batch_norm_add_relu(of({2, 3}), away({2, 3}), {}, {}, {}, {}); }, {"virtual:cpu", "(2, 3)"}},
      {"cross_entropy", [=] { (void)cross_entropy(of({2, 3}), away({2}, DType::int64)); }, {"virtual:cpu"}},
      {"mse_loss", [=] { (void)mse_loss(of({2}), away({2})); }, {"virtual:cpu"}},
      {"scaled_dot_product_attention", [=] { (void)scaled_dot_product_attention(of({2, 3}), of({2, 3}), away({2, 3})); }, {"virtual:cpu"}},
      {"scaled_dot_product_attention", [=] { (void)scaled_dot_product_attention(of({2, 3}), of({2, 3}), of({2, 3}), away({2, 2})); }, {"virtual:cpu"}},
  });
}

TEST_CASE("an error names the module, and evaluation without statistics says so") {
  const memory::ModuleScope module("net.head");
  try {
    (void)(of({2}) + of({3}));
    FAIL("no error");
  } catch (const ShapeError& error) {
    CHECK(std::string(error.what()).rfind("[add] net.head: ", 0) == 0);
  }
  CHECK_THROWS_AS(batch_norm(of({2, 3}), {}, {}, {}, {}, {.training = false}), Error);
}
