// Forward and backward of one operation or layer on the CPU. benchmarks/torch_arithmetic.py runs PyTorch's beside it.
#include <benchmark/benchmark.h>

#include <mnemo/mnemo.h>

namespace {

using namespace mnemo;

/// y = f(x) and the gradients of y's elements, all of them ones, with respect to x and what f has learned.
template <class F>
void forward_backward(benchmark::State& state, const Shape& shape, const F& f, std::vector<Tensor> parameters = {}) {
  Tensor x = randn(shape, {.requires_grad = true});
  const Tensor ones = full(f(x).shape(), 1.0);
  for (auto _ : state) {
    f(x).backward(ones);
    x.zero_grad();
    for (Tensor& parameter : parameters) parameter.zero_grad();
  }
}

const Shape kElements{64, 128, 512};  // 16 MiB of float32: more than the caches hold
const Shape kImages{16, 64, 56, 56};

void elementwise(benchmark::State& state, Tensor (*f)(const Tensor&)) { forward_backward(state, kElements, f); }
BENCHMARK_CAPTURE(elementwise, relu, relu)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(elementwise, exp, exp)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(elementwise, sigmoid, sigmoid)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(elementwise, tanh, tanh)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(elementwise, gelu, gelu)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(elementwise, silu, silu)->Unit(benchmark::kMillisecond)->UseRealTime();

void softmax_last(benchmark::State& state) {
  forward_backward(state, kElements, [](const Tensor& x) { return softmax(x, 2); });
}
BENCHMARK(softmax_last)->Unit(benchmark::kMillisecond)->UseRealTime();

void softmax_channels(benchmark::State& state) {
  forward_backward(state, kImages, [](const Tensor& x) { return softmax(x, 1); });
}
BENCHMARK(softmax_channels)->Unit(benchmark::kMillisecond)->UseRealTime();

void cross_entropy_classes(benchmark::State& state) {
  const Tensor targets = randint(0, 1000, {4096});
  forward_backward(state, {4096, 1000}, [&](const Tensor& x) { return cross_entropy(x, targets); });
}
BENCHMARK(cross_entropy_classes)->Unit(benchmark::kMillisecond)->UseRealTime();

void cross_entropy_pixels(benchmark::State& state) {
  const Tensor targets = randint(0, 64, {16, 56, 56});
  forward_backward(state, kImages, [&](const Tensor& x) { return cross_entropy(x, targets); });
}
BENCHMARK(cross_entropy_pixels)->Unit(benchmark::kMillisecond)->UseRealTime();

void embedding_rows(benchmark::State& state) {
  const Tensor tokens = randint(0, 8192, {64, 64});
  forward_backward(state, {8192, 512}, [&](const Tensor& x) { return embedding(x, tokens); });
}
BENCHMARK(embedding_rows)->Unit(benchmark::kMillisecond)->UseRealTime();

void where_masked(benchmark::State& state) {
  const Tensor mask = greater(randn(kElements), 0);
  forward_backward(state, kElements, [&](const Tensor& x) { return where(mask, x, -1.0); });
}
BENCHMARK(where_masked)->Unit(benchmark::kMillisecond)->UseRealTime();

void mean_rows(benchmark::State& state) {
  forward_backward(state, {4096, 1024}, [](const Tensor& x) { return mean(x, {0}); });
}
BENCHMARK(mean_rows)->Unit(benchmark::kMillisecond)->UseRealTime();

void transposed_copy(benchmark::State& state) {
  forward_backward(state, {4096, 1024}, [](const Tensor& x) { return contiguous(transpose(x, 0, 1)); });
}
BENCHMARK(transposed_copy)->Unit(benchmark::kMillisecond)->UseRealTime();

const Shape kScores{256, 8192};

void sort_rows(benchmark::State& state) {
  forward_backward(state, kScores, [](const Tensor& x) { return sort(x).values; });
}
BENCHMARK(sort_rows)->Unit(benchmark::kMillisecond)->UseRealTime();

void sort_channels(benchmark::State& state) {
  forward_backward(state, kImages, [](const Tensor& x) { return sort(x, 1).values; });
}
BENCHMARK(sort_channels)->Unit(benchmark::kMillisecond)->UseRealTime();

void topk_rows(benchmark::State& state) {
  forward_backward(state, kScores, [](const Tensor& x) { return topk(x, 10).values; });
}
BENCHMARK(topk_rows)->Unit(benchmark::kMillisecond)->UseRealTime();

template <class Layer>
void layer(benchmark::State& state, Layer net, const Shape& shape) {
  forward_backward(
      state, shape, [&](const Tensor& x) { return net(x); }, net.parameters());
}

void layer_norm(benchmark::State& state) { layer(state, nn::LayerNorm({.shape = {512}}), kElements); }
BENCHMARK(layer_norm)->Unit(benchmark::kMillisecond)->UseRealTime();

void rms_norm(benchmark::State& state) { layer(state, nn::RMSNorm({.shape = {512}}), kElements); }
BENCHMARK(rms_norm)->Unit(benchmark::kMillisecond)->UseRealTime();

void group_norm(benchmark::State& state) { layer(state, nn::GroupNorm({.groups = 8, .channels = 64}), kImages); }
BENCHMARK(group_norm)->Unit(benchmark::kMillisecond)->UseRealTime();

void batch_norm(benchmark::State& state) { layer(state, nn::BatchNorm2d({.channels = 64}), kImages); }
BENCHMARK(batch_norm)->Unit(benchmark::kMillisecond)->UseRealTime();

void bilinear(benchmark::State& state) {
  forward_backward(state, {16, 64, 28, 28}, [](const Tensor& x) { return interpolate(x, 56); });
}
BENCHMARK(bilinear)->Unit(benchmark::kMillisecond)->UseRealTime();

void lstm(benchmark::State& state) { layer(state, nn::LSTM({.in = 256, .hidden = 256}), {32, 64, 256}); }
BENCHMARK(lstm)->Unit(benchmark::kMillisecond)->UseRealTime();

void lstm_small(benchmark::State& state) { layer(state, nn::LSTM({.in = 64, .hidden = 64}), {8, 32, 64}); }
BENCHMARK(lstm_small)->Unit(benchmark::kMillisecond)->UseRealTime();

void gru_small(benchmark::State& state) { layer(state, nn::GRU({.in = 64, .hidden = 64}), {8, 32, 64}); }
BENCHMARK(gru_small)->Unit(benchmark::kMillisecond)->UseRealTime();

void attention(benchmark::State& state) {
  layer(state, nn::MultiHeadAttention({.features = 512, .heads = 8, .causal = true}), {8, 256, 512});
}
BENCHMARK(attention)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
