// The three passes of typical convolutions, per algorithm: milliseconds, GFLOP/s and workspace bytes.
#include <benchmark/benchmark.h>

#include <string>

#include <mnemo/core/backend.h>

namespace {

using namespace mnemo;

struct Layer {
  const char* name;
  ConvProblem problem;
};

ConvProblem square(std::int64_t batch, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t size,
                   std::int64_t stride = 1, std::int64_t groups = 1) {
  const std::int64_t padding = kernel / 2, result = (size + 2 * padding - kernel) / stride + 1;
  ConvProblem p;
  p.batch = batch, p.in_channels = in, p.out_channels = out, p.groups = groups;
  p.in = {1, size, size}, p.kernel = {1, kernel, kernel}, p.out = {1, result, result};
  p.stride = {1, stride, stride}, p.padding = {0, padding, padding};
  return p;
}

ConvProblem cube(std::int64_t batch, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t size) {
  ConvProblem p;
  p.batch = batch, p.in_channels = in, p.out_channels = out, p.spatial_rank = 3;
  p.in = p.out = {size, size, size}, p.kernel = {kernel, kernel, kernel};
  p.padding = {kernel / 2, kernel / 2, kernel / 2};
  return p;
}

ConvProblem line(std::int64_t batch, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t size) {
  ConvProblem p;
  p.batch = batch, p.in_channels = in, p.out_channels = out, p.spatial_rank = 1;
  p.in[2] = p.out[2] = size, p.kernel[2] = kernel, p.padding[2] = kernel / 2;
  return p;
}

void run(benchmark::State& state, const ConvProblem& p, ConvPass pass, ConvPolicy::Choice choice) {
  Backend& backend = Device("cpu").backend();
  ConvCall call;
  call.problem = p;
  call.pass = pass;
  call.plan = backend.decisions().conv(p, pass, {.choice = choice});
  call.x = Array({p.batch, p.in_channels, p.in[0], p.in[1], p.in[2]}, p.dtype, "cpu");
  call.w = Array({p.out_channels, p.in_channels / p.groups, p.kernel[0], p.kernel[1], p.kernel[2]}, p.dtype, "cpu");
  call.y = Array({p.batch, p.out_channels, p.out[0], p.out[1], p.out[2]}, p.dtype, "cpu");
  for (const Array& array : {call.x, call.w, call.y}) backend.fill(array, 0.5);
  if (call.plan.workspace > 0) call.workspace = Array(Shape{call.plan.workspace}, DType::uint8, "cpu");
  backend.conv(call);  // touches every page for the first time
  for (auto _ : state) backend.conv(call);
  const double flops = 2.0 * static_cast<double>(call.y.numel()) * static_cast<double>(call.w.numel() / p.out_channels);
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["workspace"] = static_cast<double>(call.plan.workspace);
}

}  // namespace

int main(int argc, char** argv) {
  const Layer layers[] = {
      {"64->64 k3 56^2 N8", square(8, 64, 64, 3, 56)},
      {"256->64 k1 56^2 N8", square(8, 256, 64, 1, 56)},
      {"3->64 k7s2 224^2 N4", square(4, 3, 64, 7, 224, 2)},
      {"256->256 k3 14^2 N8", square(8, 256, 256, 3, 14)},
      {"1->16 k3 28^2 N64", square(64, 1, 16, 3, 28)},
      {"16->32 k3 14^2 N64", square(64, 16, 32, 3, 14)},
      {"32->32 k3 32^2 N64", square(64, 32, 32, 3, 32)},
      {"128->128 k3s2 28^2 N8", square(8, 128, 128, 3, 28, 2)},
      {"depthwise 96 k3 56^2 N8", square(8, 96, 96, 3, 56, 1, 96)},
      {"conv1d 64->64 k9 4096 N8", line(8, 64, 64, 9, 4096)},
      {"conv3d 16->32 k3 32^3", cube(1, 16, 32, 3, 32)},
      {"conv3d 32->32 k3 32^3", cube(1, 32, 32, 3, 32)},
  };
  for (const Layer& layer : layers) {
    for (const auto pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
      for (const auto choice : {ConvPolicy::Choice::direct, ConvPolicy::Choice::gemm}) {
        const std::string name = std::string(layer.name) + "/" + mnemo::name(pass) +
                                 (choice == ConvPolicy::Choice::gemm ? "/gemm" : "/direct");
        benchmark::RegisterBenchmark(name.c_str(), [problem = layer.problem, pass, choice](
                                                       benchmark::State& state) { run(state, problem, pass, choice); })
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
