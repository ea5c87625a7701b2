// What the families refuse: every error is of its kind, begins with the operation, and changes nothing.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/memory/tag.h>

using namespace mnemo;

namespace {

using Call = std::function<void()>;

/// The error's kind and whether its text begins with [op].
template <class E>
void refuses(const std::string& op, const Call& call) {
  CAPTURE(op);
  bool refused = false;
  try {
    call();
  } catch (const E& error) {
    refused = true;
    CAPTURE(std::string(error.what()));
    CHECK(std::string(error.what()).rfind("[" + op + "] ", 0) == 0);
  }
  CHECK(refused);
}

Array zeros(const Shape& shape, DType dtype = DType::float32, const Device& device = "cpu") {
  return full(shape, 0, dtype, device);
}

const Array kNone;

}  // namespace

TEST_CASE("families: an undefined operand is an error in every family") {
  const Array x = zeros({2, 3}), index = zeros({2, 3}, DType::int64);
  refuses<Error>("relu", [] { map(UnaryOp::relu, kNone); });
  refuses<Error>("add", [&] { map(BinaryOp::add, x, kNone); });
  refuses<Error>("add", [&] { map(BinaryOp::add, kNone, x); });
  refuses<Error>("less", [&] { compare(CompareOp::less, x, kNone); });
  refuses<Error>("where", [&] { choose(kNone, x, x); });
  refuses<Error>("where", [&] { choose(zeros({3}, DType::boolean), kNone, x); });
  refuses<Error>("where", [&] { choose(zeros({3}, DType::boolean), x, kNone); });
  refuses<Error>("sort", [] { sort("sort", kNone, 0, false); });
  refuses<Error>("argsort", [] { sorted_places("argsort", kNone, 0, false); });
  refuses<Error>("relu", [&] { map_into(UnaryOp::relu, x, kNone); });
  refuses<Error>("relu", [&] { map_into(UnaryOp::relu, kNone, x); });
  refuses<Error>("add", [&] { map_into(BinaryOp::add, x, x, kNone); });
  refuses<Error>("copy", [&] { copy_into(kNone, x); });
  refuses<Error>("copy", [&] { copy_into(x, kNone); });
  refuses<Error>("fill", [] { fill(kNone, 1); });
  refuses<Error>("dropout", [] { dropout({}, kNone); });
  refuses<Error>("sum", [] { reduce(ReduceOp::sum, kNone, 1u); });
  refuses<Error>("arg_max", [] { arg_max(kNone, 0); });
  refuses<Error>("arg_min", [] { arg_min(kNone, 0); });
  refuses<Error>("matmul", [&] { matmul(x, kNone); });
  refuses<Error>("matmul", [&] { matmul(kNone, x); });
  refuses<Error>("conv2d", [&] { conv_problem("conv2d", kNone, x, {}, 2, {}); });
  refuses<Error>("conv2d", [&] { conv_problem("conv2d", x, kNone, {}, 2, {}); });
  refuses<Error>("max_pool2d", [] { pool_problem("max_pool2d", PoolProblem::Kind::max, kNone, 2, {}); });
  refuses<Error>("softmax", [] { softmax(kNone, 0, false); });
  refuses<Error>("cross_entropy", [&] { cross_entropy_problem(kNone, index, -100); });
  refuses<Error>("cross_entropy", [&] { cross_entropy_problem(x, kNone, -100); });
  refuses<Error>("gather", [&] { gather(kNone, 0, index); });
  refuses<Error>("gather", [&] { gather(x, 0, kNone); });
  refuses<Error>("scatter_add", [&] { scatter_add(kNone, 0, index, {2, 3}); });
  refuses<Error>("scatter_add", [&] { scatter_add(x, 0, kNone, {2, 3}); });
  refuses<Error>("concat", [&] { concat(std::vector<Array>{kNone, x}, 0); });
  refuses<Error>("concat", [&] { concat(std::vector<Array>{x, kNone}, 0); });
}

TEST_CASE("families: operands on different devices are refused") {
  const Array x = zeros({2, 3}), y = zeros({2, 3}, DType::float32, "virtual:cpu"),
              index = zeros({2, 3}, DType::int64, "virtual:cpu");
  const Array image = zeros({1, 1, 4}), kernel = zeros({1, 1, 2}), other = zeros({1}, DType::float32, "virtual:cpu");
  refuses<DeviceError>("add", [&] { map(BinaryOp::add, x, y); });
  refuses<DeviceError>("equal", [&] { compare(CompareOp::equal, y, x); });
  refuses<DeviceError>("exp", [&] { map_into(UnaryOp::exp, x, y); });
  refuses<DeviceError>("add", [&] { map_into(BinaryOp::add, x, x, y); });
  refuses<DeviceError>("copy", [&] { copy_into(x, y); });
  refuses<DeviceError>("matmul", [&] { matmul(x, y.transpose(0, 1)); });
  refuses<DeviceError>("matmul", [&] { matmul(x, x.transpose(0, 1), zeros({2}, DType::float32, "virtual:cpu")); });
  refuses<DeviceError>("conv1d", [&] { conv_problem("conv1d", image, kernel, other, 1, {}); });
  refuses<DeviceError>("conv1d", [&] { conv_problem("conv1d", image, kernel.to(Device("virtual:cpu")), {}, 1, {}); });
  refuses<DeviceError>("cross_entropy",
                       [&] { cross_entropy_problem(x, zeros({2}, DType::int64, "virtual:cpu"), -100); });
  refuses<DeviceError>("gather", [&] { gather(x, 0, index); });
  refuses<DeviceError>("scatter_add", [&] { scatter_add(x, 0, index, {2, 3}); });
  refuses<DeviceError>("concat", [&] { concat(std::vector<Array>{x, y}, 0); });
}

TEST_CASE("families: dtypes that an operation does not take are refused") {
  const Array x = zeros({2, 3}), i = zeros({2, 3}, DType::int32), d = zeros({3, 2}, DType::float64);
  refuses<DTypeError>("sqrt", [&] { map(UnaryOp::sqrt, i); });
  refuses<DTypeError>("sqrt", [&] { map_into(UnaryOp::sqrt, i, i); });
  refuses<DTypeError>("sqrt", [&] { map_into(UnaryOp::sqrt, x, i); });
  refuses<DTypeError>("add", [&] { map_into(BinaryOp::add, i, x, i); });
  refuses<DTypeError>("add", [&] { map_into(BinaryOp::add, x, d.transpose(0, 1), x); });
  refuses<DTypeError>("where", [&] { choose(x, x, x); });
  refuses<DTypeError>("dropout", [&] { dropout({}, i); });
  refuses<DTypeError>("matmul", [&] { matmul(x, d); });
  refuses<DTypeError>("matmul", [&] { matmul(x, x.transpose(0, 1), zeros({2}, DType::float16)); });
  refuses<DTypeError>("matmul", [&] { matmul(i, i.transpose(0, 1)); });
  refuses<DTypeError>("conv1d", [&] {
    conv_problem("conv1d", zeros({1, 1, 4}), zeros({1, 1, 2}, DType::float16), {}, 1, {});
  });
  refuses<DTypeError>("conv1d", [&] {
    conv_problem("conv1d", zeros({1, 1, 4}), zeros({1, 1, 2}), zeros({1}, DType::float64), 1, {});
  });
  refuses<DTypeError>("conv1d", [&] {
    conv_problem("conv1d", zeros({1, 1, 4}, DType::uint8), zeros({1, 1, 2}, DType::uint8), {}, 1, {});
  });
  refuses<DTypeError>("avg_pool1d", [&] { pool_problem("avg_pool1d", PoolProblem::Kind::average, i, 1, {}); });
  refuses<DTypeError>("log_softmax", [&] { softmax(i, 0, true); });
  refuses<DTypeError>("cross_entropy", [&] { cross_entropy_problem(i, zeros({2}, DType::int64), -100); });
  refuses<DTypeError>("cross_entropy", [&] { cross_entropy_problem(x, zeros({2}, DType::int32), -100); });
  refuses<DTypeError>("gather", [&] { gather(x, 0, i); });
  refuses<DTypeError>("scatter_add", [&] { scatter_add(x, 0, i, {2, 3}); });
}

TEST_CASE("families: shapes that do not fit are refused") {
  const Array x = zeros({2, 3}), y = zeros({4, 3}), index = zeros({2, 3}, DType::int64);
  refuses<ShapeError>("add", [&] { map(BinaryOp::add, x, y); });
  refuses<ShapeError>("less", [&] { compare(CompareOp::less, x, y); });
  refuses<ShapeError>("exp", [&] { map_into(UnaryOp::exp, x, y); });
  refuses<ShapeError>("add", [&] { map_into(BinaryOp::add, x, x, zeros({3})); });
  refuses<ShapeError>("add", [&] { map_into(BinaryOp::add, x, zeros({1, 2, 3}), x); });
  refuses<ShapeError>("add", [&] { map_into(BinaryOp::add, x, x, zeros({3}).expand({2, 3})); });
  refuses<ShapeError>("copy", [&] { copy_into(x, zeros({3})); });
  refuses<ShapeError>("copy", [&] { copy_into(x, zeros({3}).expand({2, 3})); });
  refuses<ShapeError>("arg_max", [&] { arg_max(x, 2); });
  refuses<ShapeError>("arg_min", [&] { arg_min(x, 2); });
  refuses<ShapeError>("arg_max", [&] { arg_max(zeros(Shape{}), 0); });
  refuses<ShapeError>("matmul", [&] { matmul(x, x); });
  for (const Shape& bias : {Shape{}, Shape{1}, Shape{3}, Shape{1, 2}})
    refuses<ShapeError>("matmul", [&] { matmul(x, x.transpose(0, 1), zeros(bias)); });
  refuses<ShapeError>("matmul", [&] { matmul(x, zeros(Shape{})); });
  refuses<ShapeError>("matmul", [&] { matmul(zeros({2, 2, 3}), zeros({3, 3, 2})); });
  refuses<ShapeError>("softmax", [&] { softmax(x, -3, false); });
  refuses<ShapeError>("cross_entropy", [&] { cross_entropy_problem(x, zeros({3}, DType::int64), -100); });
  refuses<ShapeError>("cross_entropy",
                      [&] { cross_entropy_problem(zeros(Shape{}), zeros(Shape{}, DType::int64), -100); });
  refuses<ShapeError>("cross_entropy", [&] { cross_entropy_problem(x, full({2}, 3, DType::int64), -100); });
  refuses<ShapeError>("gather", [&] { gather(x, 2, index); });
  refuses<ShapeError>("gather", [&] { gather(x, 0, zeros({2, 2}, DType::int64)); });
  refuses<ShapeError>("gather", [&] { gather(x, 0, full({1, 3}, 2, DType::int64)); });
  refuses<ShapeError>("gather", [&] { gather(x, 0, full({1, 3}, -1, DType::int64)); });
  refuses<ShapeError>("scatter_add", [&] { scatter_add(x, 0, full({2, 3}, 4, DType::int64), {4, 3}); });
  refuses<ShapeError>("concat", [&] { concat({}, 0); });
  refuses<ShapeError>("concat", [&] { concat(std::vector<Array>{x, y}, 1); });
  refuses<ShapeError>("concat", [&] { concat(std::vector<Array>{x, zeros({3})}, 0); });
  refuses<ShapeError>("concat", [&] { concat(std::vector<Array>{x}, 2); });
}

// The result was written as if it had the sizes of x: beyond its memory.
TEST_CASE("families: scatter_add refuses a result of other sizes outside the axis, and an index of another shape") {
  const Array x = zeros({2, 3}), index = zeros({2, 3}, DType::int64);
  CHECK(scatter_add(x, 0, index, {7, 3}).shape() == Shape{7, 3});
  for (const Shape& shape : {Shape{2, 1}, Shape{2}, Shape{2, 3, 1}, Shape{}, Shape{2, 4}}) {
    refuses<ShapeError>("scatter_add", [&] { scatter_add(x, 0, index, shape); });
  }
  // It was read as if it had the index's sizes.
  refuses<ShapeError>("scatter_add", [&] { scatter_add(x, 0, zeros({3, 3}, DType::int64), {7, 3}); });
}

TEST_CASE("families: convolutions and pools refuse what has no output") {
  const Array x = zeros({1, 4, 8}), w = zeros({6, 2, 3});
  const auto conv_with = [&](const Array& input, const Array& weight, const ConvOptions& options) {
    return [&, options] { conv_problem("conv1d", input, weight, {}, 1, options); };
  };
  CHECK_NOTHROW(conv_with(x, w, {.groups = 2})());
  refuses<ShapeError>("conv1d", conv_with(x, w, {.groups = 1}));
  for (std::int64_t groups : {0, -1, 3, 4}) refuses<ShapeError>("conv1d", conv_with(x, w, {.groups = groups}));
  for (std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40}) {
    refuses<ShapeError>("conv1d", conv_with(x, w, {.stride = bad, .groups = 2}));
    refuses<ShapeError>("conv1d", conv_with(x, w, {.dilation = bad, .groups = 2}));
  }
  refuses<ShapeError>("conv1d", conv_with(x, w, {.padding = -1, .groups = 2}));
  refuses<ShapeError>("conv1d", conv_with(x, w, {.padding = "full", .groups = 2}));
  refuses<ShapeError>("conv1d", conv_with(x, w, {.stride = 2, .padding = "same", .groups = 2}));
  refuses<ShapeError>("conv1d", conv_with(x, w, {.stride = {1, 1}, .groups = 2}));
  refuses<ShapeError>("conv1d", conv_with(x, w, {.dilation = 4, .groups = 2}));
  refuses<ShapeError>("conv1d", conv_with(x, zeros({6, 2, 0}), {.groups = 2}));
  refuses<ShapeError>("conv1d", conv_with(x.unsqueeze(0), w, {.groups = 2}));
  refuses<ShapeError>("conv1d", conv_with(x, zeros({5, 2, 3}), {.groups = 2}));
  refuses<ShapeError>("conv1d", [&] { conv_problem("conv1d", x, w, zeros({5}), 1, {.groups = 2}); });
  refuses<ShapeError>("conv1d", [&] { conv_problem("conv1d", x, w, zeros({6, 1}), 1, {.groups = 2}); });

  const auto pool_with = [&](const PoolOptions& options) {
    return [&, options] { pool_problem("max_pool1d", PoolProblem::Kind::max, x, 1, options); };
  };
  CHECK_NOTHROW(pool_with({.kernel = 8})());
  for (const PoolOptions& options :
       {PoolOptions{.kernel = 0}, PoolOptions{.kernel = -2}, PoolOptions{.kernel = 9}, PoolOptions{.stride = -1},
        PoolOptions{.padding = -1}, PoolOptions{.kernel = 2, .padding = 2}, PoolOptions{.dilation = 0},
        PoolOptions{.dilation = 8}, PoolOptions{.kernel = {2, 2}}}) {
    refuses<ShapeError>("max_pool1d", pool_with(options));
  }
  refuses<ShapeError>("max_pool1d", [&] { pool_problem("max_pool1d", PoolProblem::Kind::max, zeros({8}), 1, {}); });
}

TEST_CASE("families: an error changes nothing, and names the module that it happened in") {
  const Array x = full({2, 3}, 1, DType::float32, "cpu"), y = zeros({4, 3}), i = zeros({2, 3}, DType::int32);
  const memory::Bytes allocated = Device("cpu").allocator().allocated();
  const auto version = x.storage()->version();
  {
    const memory::ModuleScope module("net.head");
    CHECK_THROWS_WITH(
        map(BinaryOp::add, x, y),
        "[add] net.head: shapes (2, 3) and (4, 3) do not broadcast: sizes 2 and 4 meet at axis 0 of the result; "
        "they must be equal or 1");
  }
  CHECK_THROWS_AS(map_into(BinaryOp::add, x, y, x), ShapeError);
  CHECK_THROWS_AS(map_into(BinaryOp::add, i, x, i), DTypeError);
  CHECK_THROWS_AS(copy_into(y, x), ShapeError);
  CHECK_THROWS_AS(scatter_add(x, 0, full({2, 3}, 9, DType::int64), {2, 3}), ShapeError);
  CHECK(Device("cpu").allocator().allocated() == allocated);
  CHECK(x.storage()->version() == version);
  CHECK(x.values<float>() == std::vector<float>(6, 1));
}

TEST_CASE("reading an array with gaps needs the same memory on a device and on its virtual twin") {
  std::vector<memory::Bytes> peaks;
  for (const char* name : {"cpu", "virtual:cpu"}) {
    const Device device = Device::open(name);
    const Array x({300, 500}, DType::float32, device);
    (void)x.transpose(0, 1).values<float>();
    peaks.push_back(device.allocator().peak().allocated);
  }
  CHECK(peaks[0] == 2 * 600064);  // 300 * 500 * 4 bytes in blocks of 512
  CHECK(peaks[1] == peaks[0]);
}
