// Convolutions that no plan takes whole: cut into pieces they are the same convolution.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include <mnemo/core/cpu/backend.h>
#include <mnemo/core/families.h>
#include <mnemo/core/planning/conv_query.h>
#include <mnemo/core/planning/conv_split.h>
#include <mnemo/core/planning/conv_trace.h>

using namespace mnemo;

namespace {

/// The CPU's decisions for everything of at most `most` elements on each side; larger things are cut.
class SmallOnly final : public Decisions {
 public:
  SmallOnly(ConvPlan::Axis axis, std::int64_t step) : axis_(axis), step_(step) {}

  ConvPlan conv(const ConvProblem& problem, ConvPass pass, const ConvPolicy& policy) const override {
    const auto d = static_cast<std::size_t>(3 - problem.spatial_rank);
    const std::int64_t depth = pass == ConvPass::data_gradient ? problem.in[d] : problem.out[d];
    ConvPlan plan{.algorithm = ConvAlgorithm::split};
    if (axis_ == ConvPlan::Axis::batch ? problem.batch > step_ : problem.batch > 1) {
      plan.step = axis_ == ConvPlan::Axis::batch ? step_ : 1;
      return plan;
    }
    const std::int64_t grain = pass == ConvPass::data_gradient ? problem.stride[d] : 1;
    const std::int64_t step = (step_ + grain - 1) / grain * grain;
    if (axis_ == ConvPlan::Axis::depth && depth > step && !inside_) {
      plan.axis = ConvPlan::Axis::depth;
      plan.step = step;
      inside_ = true;  // the pieces are taken whole, however far their windows reach
      pieces_left_ = 0;
      for (std::int64_t at = 0; at < depth; at = next_piece(problem, pass, at, step)) {
        if (depth_piece(problem, pass, at, step).problem.out[d] > 0) ++pieces_left_;
      }
      return plan;
    }
    if (inside_ && --pieces_left_ == 0) inside_ = false;
    return cpu_decisions()->conv(problem, pass, policy);
  }
  RankedPlans plans(const ConvProblem& problem, ConvPass, const ConvPolicy&) const override {
    return own_plans(problem);
  }
  std::string source() const override { return "a test"; }

 private:
  ConvPlan::Axis axis_;
  std::int64_t step_;
  mutable bool inside_ = false;
  mutable int pieces_left_ = 0;
};

Device cutting_device(ConvPlan::Axis axis, std::int64_t step) {
  return Device(std::make_shared<cpu::CpuBackend>("cutting", memory::make_host_source(0), memory::AllocatorConfig{},
                                                  std::make_shared<SmallOnly>(axis, step)));
}

Array random_on(const Device& device, const Shape& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = uniform(generator);
  return Array::from(values, shape, device);
}

void check_same(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  const auto left = a.values<double>(), right = b.values<double>();
  for (std::size_t i = 0; i < left.size(); ++i) REQUIRE(std::abs(left[i] - right[i]) < 1e-12);
}

struct Case {
  int rank;
  std::int64_t batch, in, out, groups, size;
  std::int64_t kernel, stride, padding, dilation;
};

constexpr Case kCases[] = {
    {3, 1, 2, 3, 1, 9, 3, 1, 1, 1},  {3, 2, 2, 4, 2, 8, 3, 2, 1, 1},  {2, 3, 3, 2, 1, 11, 5, 1, 2, 1},
    {2, 1, 1, 2, 1, 10, 1, 3, 0, 1}, {2, 1, 2, 2, 1, 13, 2, 4, 1, 1}, {1, 2, 4, 4, 4, 17, 3, 2, 3, 2},
    {1, 1, 1, 1, 1, 12, 7, 1, 0, 1}, {2, 1, 2, 1, 1, 7, 1, 5, 2, 1},
};

}  // namespace

TEST_CASE("conv split: pieces of any size give the forward pass and both gradients") {
  for (const Case& c : kCases) {
    CAPTURE(c.rank);
    CAPTURE(c.kernel);
    CAPTURE(c.stride);
    Dims x_sizes{c.batch, c.in}, w_sizes{c.out, c.in / c.groups};
    for (int d = 0; d < c.rank; ++d) x_sizes.push_back(c.size + d), w_sizes.push_back(c.kernel);
    const ConvOptions options{.stride = c.stride, .padding = c.padding, .dilation = c.dilation, .groups = c.groups};
    const auto all = [&](const Device& device) {
      const Array x = random_on(device, Shape(x_sizes), 1), w = random_on(device, Shape(w_sizes), 2);
      const Array bias = random_on(device, Shape{c.out}, 3);
      const ConvProblem problem = conv_problem("conv", x, w, bias, c.rank, options);
      const Array y = conv(problem, x, w, bias), grad = random_on(device, y.shape(), 4);
      return std::vector{y, conv_data_gradient(problem, grad, w), conv_weight_gradient(problem, x, grad)};
    };
    const auto whole = all(Device("cpu"));
    for (const auto axis : {ConvPlan::Axis::batch, ConvPlan::Axis::depth}) {
      for (std::int64_t step = 1; step <= 5; ++step) {
        CAPTURE(step);
        const ConvTrace trace;
        const auto cut = all(cutting_device(axis, step));
        for (std::size_t i = 0; i < whole.size(); ++i) check_same(whole[i], cut[i]);
        if (axis == ConvPlan::Axis::depth && step == 1) CHECK(trace.entries().size() > 3);
      }
    }
  }
}

TEST_CASE("conv split: no piece reaches 2^31 elements, and together they are the whole axis") {
  ConvProblem p{.batch = 1,
                .in_channels = 64,
                .out_channels = 32,
                .in = {362, 370, 251},
                .kernel = {3, 3, 3},
                .out = {362, 370, 251},
                .padding = {1, 1, 1},
                .dtype = DType::float16,
                .spatial_rank = 3};
  REQUIRE_FALSE(size_obstacle(p).empty());
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    const ConvPlan plan = conv_split(p, pass);
    CHECK(plan.axis == ConvPlan::Axis::depth);
    CHECK(plan.step == 181);  // two halves
    std::int64_t covered = 0;
    for (std::int64_t at = 0; at < 362; at = next_piece(p, pass, at, plan.step)) {
      const ConvPiece piece = depth_piece(p, pass, at, plan.step);
      CHECK(size_obstacle(piece.problem).empty());
      const bool data = pass == ConvPass::data_gradient;
      CHECK((data ? piece.in_begin : piece.out_begin) == covered);
      covered = data ? piece.in_end : piece.out_end;
    }
    CHECK(covered == 362);
  }
  p.batch = 5;
  p.in = p.out = {100, 370, 251};  // 5 images of 594,368,000 values: 3 at a time are below 2^31
  const ConvPlan batches = conv_split(p, ConvPass::forward);
  CHECK(batches.axis == ConvPlan::Axis::batch);
  CHECK(batches.step == 3);
  p.in = p.out = {362, 370, 251};
  CHECK(conv_split(p, ConvPass::forward).step == 1);  // and each image is cut in its turn
}

TEST_CASE("conv split: where not even one slice fits, nothing is cut") {
  ConvProblem p{
      .in_channels = 1, .out_channels = 1, .in = {2, 65536, 65536}, .out = {2, 65536, 65536}, .spatial_rank = 3};
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
    CHECK(conv_split(p, pass).step == 0);
  }
  ConvProblem weight{.in_channels = 65536, .out_channels = 65536};
  CHECK(conv_split(weight, ConvPass::forward).step == 0);
}

TEST_CASE("conv split: PyTorch cuts the batch into parts of at most 2^29 elements") {
  ConvProblem p{.batch = 40,
                .in_channels = 64,
                .out_channels = 32,
                .in = {1, 1024, 1024},
                .kernel = {1, 3, 3},
                .out = {1, 1022, 1022}};
  CHECK(pytorch_split(p).step == 8);  // 2^29 / (64 * 2^20)
  p.batch = 1;
  CHECK(pytorch_split(p).step == 0);
}
