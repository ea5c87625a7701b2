#include <doctest/doctest.h>

#include <mnemo/core/decisions.h>
#include <mnemo/core/threads.h>

using namespace mnemo;
using Choice = ConvPolicy::Choice;

TEST_CASE("conv: the unfolded matrix has channels per group * kernel volume * output voxels elements") {
  ConvProblem p{.batch = 64,
                .in_channels = 16,
                .out_channels = 32,
                .groups = 2,
                .in = {1, 14, 14},
                .kernel = {1, 3, 3},
                .out = {1, 14, 14},
                .padding = {0, 1, 1}};
  CHECK(unfolded_bytes(p) == 8 * 9 * 196 * 4);
  p.dtype = DType::bfloat16;
  CHECK(unfolded_bytes(p) == 8 * 9 * 196 * 2);
  p.out = {1, 0, 14};
  CHECK(unfolded_bytes(p) == 0);
}

TEST_CASE("conv: an image that is its own matrix is not unfolded") {
  ConvProblem p{.in_channels = 16, .out_channels = 32, .in = {4, 5, 6}, .out = {4, 5, 6}, .dilation = {1, 2, 3}};
  CHECK(unfolded_bytes(p) == 0);
  ConvProblem strided = p;
  strided.stride = {1, 1, 2};
  strided.out = {4, 5, 3};
  CHECK(unfolded_bytes(strided) == 16 * 60 * 4);
  ConvProblem padded = p;
  padded.out = {4, 5, 7};  // padding behind the last element
  CHECK(unfolded_bytes(padded) == 16 * 140 * 4);
}

TEST_CASE("conv: a matrix too large for 63 bits is the largest number of bytes") {
  ConvProblem p{.in_channels = std::int64_t{1} << 40,
                .in = {1, 1 << 20, 1 << 20},
                .kernel = {1, 3, 3},
                .out = {1, 1 << 20, 1 << 20}};
  CHECK(unfolded_bytes(p) == std::numeric_limits<memory::Bytes>::max());
  p.out[2] = 0;
  CHECK(unfolded_bytes(p) == 0);
}

TEST_CASE("conv: the policy chooses, within its limit") {
  const ConvProblem p{.batch = 8,
                      .in_channels = 64,
                      .out_channels = 64,
                      .in = {1, 56, 56},
                      .kernel = {1, 3, 3},
                      .out = {1, 56, 56},
                      .padding = {0, 1, 1}};
  const auto decisions = cpu_decisions();
  for (const auto pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    CAPTURE(std::string(name(pass)));
    const auto direct = decisions->conv(p, pass, {.choice = Choice::direct});
    CHECK(direct.algorithm == ConvAlgorithm::direct);
    CHECK(direct.workspace == 0);
    const auto gemm = decisions->conv(p, pass, {.choice = Choice::gemm});
    CHECK(gemm.algorithm == ConvAlgorithm::gemm);
    CHECK(gemm.workspace == unfolded_bytes(p));
    const auto exact = decisions->conv(p, pass, {.choice = Choice::gemm, .workspace_limit = unfolded_bytes(p)});
    CHECK(exact.algorithm == ConvAlgorithm::gemm);
    for (const auto choice : {Choice::gemm, Choice::automatic}) {
      const auto limited = decisions->conv(p, pass, {.choice = choice, .workspace_limit = unfolded_bytes(p) - 1});
      CHECK(limited.algorithm == ConvAlgorithm::direct);
      CHECK(limited.workspace == 0);
    }
  }
}

TEST_CASE(
    "conv: automatically, data gradients of few input channels are unfolded, everything else needs no workspace") {
  ConvProblem p{.batch = 64,
                .in_channels = 1,
                .out_channels = 16,
                .in = {1, 28, 28},
                .kernel = {1, 3, 3},
                .out = {1, 28, 28},
                .padding = {0, 1, 1}};
  const auto decisions = cpu_decisions();
  CHECK(decisions->conv(p, ConvPass::forward, {}).workspace == 0);
  CHECK(decisions->conv(p, ConvPass::weight_gradient, {}).workspace == 0);
  CHECK(decisions->conv(p, ConvPass::data_gradient, {}).workspace == unfolded_bytes(p));
  p.in_channels = 16;
  CHECK(decisions->conv(p, ConvPass::data_gradient, {}).workspace == 0);
}

TEST_CASE("conv: the number of threads does not decide") {
  const int before = thread_count();
  const ConvProblem p{
      .batch = 4, .in_channels = 3, .out_channels = 64, .in = {1, 32, 32}, .kernel = {1, 3, 3}, .out = {1, 30, 30}};
  for (const auto pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    set_thread_count(1);
    const ConvPlan alone = cpu_decisions()->conv(p, pass, {});
    set_thread_count(8);
    const ConvPlan many = cpu_decisions()->conv(p, pass, {});
    CHECK(alone.algorithm == many.algorithm);
    CHECK(alone.workspace == many.workspace);
  }
  set_thread_count(before);
}

TEST_CASE("conv: a policy lasts for a scope of one thread") {
  CHECK(conv_policy().choice == Choice::automatic);
  {
    const ConvPolicyScope scope({.choice = Choice::gemm, .workspace_limit = 5});
    CHECK(conv_policy().choice == Choice::gemm);
    CHECK(conv_policy().workspace_limit == 5);
  }
  CHECK(conv_policy().choice == Choice::automatic);
}
