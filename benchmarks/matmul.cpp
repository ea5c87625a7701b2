// Matrix products of one thread, with Eigen's beside them: GFLOP/s of C (M, N) = A (M, K) B (K, N), all row-major
// float32.
#include <benchmark/benchmark.h>

#include <mnemo/mnemo.h>

#include <Eigen/Core>

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void count(benchmark::State& state) {
  const double operations = 2.0 * static_cast<double>(state.range(0) * state.range(1) * state.range(2));
  state.counters["GFLOP/s"] = benchmark::Counter(operations / 1e9, benchmark::Counter::kIsIterationInvariantRate);
}

void mnemo_matmul(benchmark::State& state) {
  mnemo::set_thread_count(1);
  const mnemo::Tensor a = mnemo::randn({state.range(0), state.range(2)}),
                      b = mnemo::randn({state.range(2), state.range(1)});
  for (auto _ : state) benchmark::DoNotOptimize(mnemo::matmul(a, b));
  count(state);
}

void eigen_matmul(benchmark::State& state) {
  const Matrix a = Matrix::Random(state.range(0), state.range(2)), b = Matrix::Random(state.range(2), state.range(1));
  Matrix c(state.range(0), state.range(1));
  for (auto _ : state) {
    c.noalias() = a * b;
    benchmark::DoNotOptimize(c.data());
  }
  count(state);
}

/// A linear layer with a bias.
void mnemo_linear(benchmark::State& state) {
  mnemo::set_thread_count(1);
  const mnemo::Tensor x = mnemo::randn({state.range(0), state.range(2)}),
                      weight = mnemo::randn({state.range(1), state.range(2)}), bias = mnemo::randn({state.range(1)});
  for (auto _ : state) benchmark::DoNotOptimize(mnemo::linear(x, weight, bias));
  count(state);
}

// M, N, K: a square, two convolutions as products, a linear layer.
void sizes(benchmark::internal::Benchmark* bench) {
  bench->Args({1024, 1024, 1024})->Args({64, 12544, 576})->Args({256, 3136, 1152})->Args({64, 4096, 25088});
}
BENCHMARK(mnemo_matmul)->Apply(sizes)->Unit(benchmark::kMillisecond);
BENCHMARK(eigen_matmul)->Apply(sizes)->Unit(benchmark::kMillisecond);
// Hidden layers of small nets, and ones whose depth is small beside their results.
BENCHMARK(mnemo_linear)
    ->Args({1, 10, 64})
    ->Args({64, 128, 784})
    ->Args({64, 10, 128})
    ->Args({4096, 256, 64})
    ->Args({16384, 64, 16})
    ->Args({1024, 1024, 1024})
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
