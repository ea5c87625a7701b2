// What a virtual card decides, against numbers that were noted down from the library and from users' reports. The
// shipped table answers where there is no library.
#include "queries.h"

#include <mnemo/core/device.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/planning/card_decisions.h>

using namespace queries;

namespace {

constexpr auto f32 = DType::float32;
constexpr auto f16 = DType::float16;
constexpr auto weight = ConvPass::weight_gradient;

std::shared_ptr<const Decisions> decisions_of(const char* card) { return card_decisions(*find_card(card)); }

/// The known numbers are those of one version, whether of the library or of a table.
bool knows(const Decisions& decisions) {
  if (decisions.cudnn() == kKnownVersion) return true;
  MESSAGE("SKIPPED: decisions are those of ", decisions.source());
  return false;
}

const ConvProblem kWide = cube(f32, 2, 1, 256, 256, 48, 7, 3);

}  // namespace

TEST_CASE("card decisions: policies choose among the library's plans") {
  const auto decisions = decisions_of("h200");
  if (!knows(*decisions)) return;
  const auto take = [&](const char* policy, bool tf32 = true) {
    ConvPolicy parsed = parse_conv_policy(policy);
    parsed.allow_tf32 = tf32;
    return decisions->conv(kWide, weight, parsed);
  };
  CHECK(take("heuristic").workspace == 248'774'800);
  CHECK(std::string(take("heuristic").engine).starts_with("eng34_k"));
  CHECK(take("heuristic").algorithm == ConvAlgorithm::library);
  CHECK_FALSE(take("heuristic").estimated);
  CHECK(take("pytorch", false).workspace == 248'774'800);  // which allows TF32 itself
  CHECK(take("workspace<=200MB").workspace == 17'564'576);
  CHECK(take("zero-workspace").workspace == 0);
  CHECK(take("heuristic", false).workspace == 17'563'664);
  CHECK(take("deterministic").workspace == 248'774'800);
  CHECK(take("deterministic,zero-workspace").algorithm == ConvAlgorithm::direct);  // the only such engine is not
  CHECK(take("auto").workspace == take("deterministic").workspace);
  CHECK(take("gemm").workspace == unfolded_bytes(kWide));
  CHECK(take("direct").workspace == 0);
}

TEST_CASE("card decisions: a named engine, and automatic where it is not ranked") {
  const auto decisions = decisions_of("h200");
  if (!knows(*decisions)) return;
  ConvPolicy policy = parse_conv_policy("eng48");
  policy.allow_tf32 = true;
  CHECK(decisions->conv(kWide, weight, policy).workspace == 17'564'576);
  // With its knobs, one of the several that the engine is ranked with.
  policy.engine = decisions->conv(kWide, weight, policy).engine;
  CHECK(policy.engine.starts_with("eng48_k"));
  CHECK(decisions->conv(kWide, weight, policy).engine == policy.engine);
  policy.engine = "eng999";
  const ConvPlan other = decisions->conv(kWide, weight, policy);
  CHECK(other.workspace == 248'774'800);
  // Without the library nobody can say that the engine is not ranked.
  CHECK(other.estimated == (planner_of("h200") == nullptr));
}

TEST_CASE("card decisions: from 2^31 elements on PyTorch unfolds, and mnemo cuts") {
  const auto decisions = decisions_of("a100-80gb");
  const ConvProblem half = problem(f16, 1, 64, 32, {362, 370, 251}, {3, 3, 3}, 1);
  const ConvPlan unfolded = decisions->conv(half, ConvPass::forward, parse_conv_policy("pytorch"));
  CHECK(unfolded.algorithm == ConvAlgorithm::gemm);
  CHECK(unfolded.workspace == std::int64_t{64} * 27 * 362 * 370 * 251 * 2);  // 108.21 GiB: pytorch/pytorch#95024
  const ConvProblem full = problem(f32, 1, 256, 64, {5, 1090, 1922}, {3, 3, 3});
  CHECK(decisions->conv(full, ConvPass::forward, parse_conv_policy("pytorch")).workspace ==
        std::int64_t{256} * 27 * 3 * 1088 * 1920 * 4);  // 161.37 GiB: pytorch/pytorch#128947
  for (const char* policy : {"auto", "heuristic", "zero-workspace"}) {
    const ConvPlan cut = decisions->conv(half, ConvPass::forward, parse_conv_policy(policy));
    CHECK(cut.algorithm == ConvAlgorithm::split);
    CHECK(cut.axis == ConvPlan::Axis::depth);
    CHECK(cut.step == 181);
  }
  CHECK(decisions->plans(half, ConvPass::forward, {}).obstacle() ==
        "the input (1, 64, 362, 370, 251) has 2^31 elements or more");
}

TEST_CASE("card decisions: half types have their channels innermost unless told otherwise") {
  const auto decisions = decisions_of("t4");
  CHECK(decisions->conv_layout(f32, {}) == ConvLayout::contiguous);
  CHECK(decisions->conv_layout(f16, {}) == ConvLayout::channels_last);
  CHECK(decisions->conv_layout(DType::bfloat16, {}) == ConvLayout::channels_last);
  CHECK(decisions->conv_layout(f16, parse_conv_policy("pytorch")) == ConvLayout::contiguous);
  CHECK(decisions->conv_layout(f32, {.layout = ConvLayout::channels_last}) == ConvLayout::channels_last);
}

TEST_CASE("card decisions: cards of which nothing is known are estimated, and say why") {
  for (const char* name : {"v100-32gb", "jetson-orin-8gb"}) {
    CAPTURE(name);
    const auto decisions = decisions_of(name);
    CHECK(decisions->cudnn() == "");
    CHECK(decisions->source().starts_with("estimated: "));
    CHECK(decisions->source().find(name) != std::string::npos);
    const ConvPlan plan = decisions->conv(kWide, weight, {});
    CHECK(plan.estimated);
    CHECK(plan.workspace == 0);
    CHECK_FALSE(decisions->conv(kWide, weight, parse_conv_policy("gemm")).estimated);
  }
}

TEST_CASE("card decisions: a device can name the version") {
  const auto plain = decisions_of("h200");
  if (!knows(*plain)) return;
  const Device named = Device::open("virtual:h200,cudnn=9.19.0");
  CHECK(named.backend().decisions().cudnn() == "9.19.0");
  CHECK(named.backend().decisions().conv(kWide, weight, {}).workspace == plain->conv(kWide, weight, {}).workspace);
  CHECK_THROWS_WITH_AS(Device::open("virtual:h200,cudnn=1.2.3"), doctest::Contains("no table of cuDNN 1.2.3 for h200"),
                       DeviceError);
  for (const char* text :
       {"virtual:h200,", "virtual:h200,cudnn=", "virtual:h200,cuda=9", "virtual:16GiB,cudnn=9.19.0"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Device::open(text), DeviceError);
  }
}

TEST_CASE("card decisions: two names of one card decide alike") {
  const auto h100 = decisions_of("h100"), same = decisions_of("h100-80gb");
  CHECK(h100->cudnn() == same->cudnn());
  CHECK(h100->conv(kWide, weight, {}).workspace == same->conv(kWide, weight, {}).workspace);
}

TEST_CASE("card decisions: a matrix product has workspace for its partial sums while it runs, at most the card's") {
  struct Row {
    std::int64_t rows, depth, columns;
    memory::Bytes sums;  ///< of float32, in pieces of at least 128, at most 32 of them
  };
  const Row table[] = {{8, 16, 8, 0},
                       {8, 255, 8, 0},
                       {8, 256, 8, 2 * 8 * 8 * 4},
                       {64, 1600, 10, 12 * 64 * 10 * 4},
                       {8, 100000, 8, 32 * 8 * 8 * 4},
                       {2048, 4096, 2048, memory::Bytes{1} << 40}};
  for (const auto& [name, most] : {std::pair{"h200", 32 * memory::MiB}, std::pair{"rtx4090", 4 * memory::MiB}}) {
    for (const Row& row : table) {
      for (const bool as_pytorch : {false, true}) {
        CAPTURE(row.depth);
        ConvPolicy policy;
        if (as_pytorch) policy.choice = ConvPolicy::Choice::pytorch;
        const ConvPolicyScope scope(policy);
        const Device device = Device::open(std::string("virtual:") + name);
        const Array a(Shape{row.rows, row.depth}, f32, device), b(Shape{row.depth, row.columns}, f32, device);
        device.allocator().reset_peak();
        const Array product = matmul(a, b);
        const auto workspace = static_cast<std::size_t>(memory::Category::workspace);
        const memory::Bytes wanted = as_pytorch ? most : std::min(most, 64 * memory::KiB + row.sums);
        CHECK(device.allocator().peak().categories[workspace] == memory::round_up(wanted, 512));
        CHECK(device.allocator().categories()[workspace] == 0);
      }
    }
  }
}

TEST_CASE("card decisions: a half convolution copies a row-major input once, and its output stays as it is") {
  const Device device = Device::open("virtual:h200");
  const Array x(Shape{2, 8, 6, 6}, f16, device), w(Shape{16, 8, 3, 3}, f16, device),
      w2(Shape{4, 16, 1, 1}, f16, device);
  const Array y = conv(conv_problem("conv2d", x, w, {}, 2, {.padding = 1}), x, w, {});
  CHECK(y.is_channels_last());
  CHECK_FALSE(y.is_contiguous());
  const Array z = conv(conv_problem("conv2d", y, w2, {}, 2, {}), y, w2, {});
  CHECK(z.is_channels_last());
  const Array sum = map(BinaryOp::add, y, y);
  CHECK(sum.is_channels_last());
}
