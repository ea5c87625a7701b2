// Saving and loading models. The files that are compared byte for byte were put together by hand.
#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/core/tensor_file.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/sequential.h>
#include <mnemo/nn/state.h>
#include <mnemo/optim/optimizer.h>

#include "temporary_folder.h"

using namespace mnemo;

namespace {

struct Net : nn::Module<Net> {
  nn::Conv2d conv{{.in = 2, .out = 3, .kernel = 2}};
  nn::BatchNorm2d norm{{.channels = 3}};
  nn::Sequential rest{nn::Linear({.in = 12, .out = 4})};

  Tensor forward(const Tensor& x) { return rest(flatten(relu(norm(conv(x))))); }
  void visit(nn::Visitor& v) { v.child("conv", conv), v.child("norm", norm), v.child("rest", rest); }
};

/// A module of one parameter, whatever that is.
struct One : nn::Module<One> {
  Tensor x;
  explicit One(Tensor tensor) : x(std::move(tensor)) {}
  void visit(nn::Visitor& v) { v.parameter("x", x); }
};

std::vector<std::vector<double>> values(Net& net) {
  std::vector<std::vector<double>> all;
  for (const nn::NamedTensor& named : nn::state(net)) all.push_back(named.tensor.values<double>());
  return all;
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("a model comes back as it was saved: parameters and buffers, and what it computes") {
  const TemporaryFolder folder;
  Net net, other;
  net(randn({5, 2, 3, 3}));  // moves the running statistics
  nn::save(net, folder / "net", {{"made by", "a test"}});
  CHECK(folder.files() == 1);
  CHECK(values(net) != values(other));
  const nn::LoadResult result = nn::load(other, folder / "net");
  CHECK(result.missing.empty());
  CHECK(result.unexpected.empty());
  CHECK(values(net) == values(other));
  const Tensor x = randn({2, 2, 3, 3});
  net.eval(), other.eval();
  CHECK(net(x).values<float>() == other(x).values<float>());
  TensorFile file(folder / "net");
  CHECK(file.metadata().at("made by") == "a test");
  // Names as PyTorch gives them, dtypes and then names in order.
  std::vector<std::string> names;
  for (const TensorEntry& entry : file.entries()) names.push_back(entry.name);
  CHECK(names == std::vector<std::string>{"conv.bias", "conv.weight", "norm.bias", "norm.running_mean",
                                          "norm.running_var", "norm.weight", "rest.0.bias", "rest.0.weight"});
}

TEST_CASE("every floating dtype is kept bit for bit, and cast where the model has another") {
  const TemporaryFolder folder;
  for (const DType dtype : {DType::float64, DType::float32, DType::float16, DType::bfloat16}) {
    CAPTURE(name(dtype));
    Net net, same;
    net.to(dtype), same.to(dtype);
    nn::save(net, folder / "net");
    nn::load(same, folder / "net");
    CHECK(values(net) == values(same));
    for (const DType to : {DType::float64, DType::float32, DType::float16, DType::bfloat16}) {
      CAPTURE(name(to));
      Net cast;
      cast.to(to);
      nn::load(cast, folder / "net");
      CHECK(cast.conv.weight.dtype() == to);
      net.to(to);
      CHECK(values(cast) == values(net));
      nn::load(net.to(dtype), folder / "net");
    }
  }
}

TEST_CASE("loading keeps the tensors: strides, gradients, what an optimizer holds; and counts as a change in place") {
  const TemporaryFolder folder;
  Net saved, net;
  nn::save(saved, folder / "net");
  net.conv.weight = Tensor(net.conv.weight.array().channels_last(), true);
  optim::SGD optimizer(net.parameters(), {.lr = 0.5});
  const Tensor held = net.conv.weight;
  const Dims strides = held.array().strides();
  CHECK_FALSE(held.array().is_contiguous());
  const std::uint32_t version = held.array().storage()->version();
  nn::load(net, folder / "net");
  CHECK(held.values<float>() == saved.conv.weight.values<float>());
  CHECK(held.array().strides() == strides);
  CHECK(held.array().storage()->version() > version);
  CHECK(net.conv.weight.requires_grad());
  // A gradient closure from before must notice.
  const Tensor loss = sum(net(ones({4, 2, 3, 3})));
  nn::load(net, folder / "net");
  CHECK_THROWS_AS(loss.backward(), GradError);
  sum(net(ones({4, 2, 3, 3}))).backward();
  optimizer.step();
  CHECK(net.rest.layer(0)(ones({1, 12})).values<float>() != saved.rest.layer(0)(ones({1, 12})).values<float>());
  // And what was channels last is row-major in the file.
  nn::load(net, folder / "net");
  nn::save(net, folder / "again");
  CHECK(read(folder / "again") == read(folder / "net"));
}

TEST_CASE("a parameter that is part of a larger array is loaded without touching the rest") {
  const TemporaryFolder folder;
  One saved(tensor<float>({1, 2, 3, 4}, {2, 2}));
  nn::save(saved, folder / "x");
  const Array whole = full({2, 4}, 7, DType::float32);
  One part{Tensor(whole.slice(1, 1, 3))};
  nn::load(part, folder / "x");
  CHECK(whole.values<float>() == std::vector<float>{7, 1, 2, 7, 7, 3, 4, 7});
  nn::save(part, folder / "again");
  CHECK(read(folder / "again") == read(folder / "x"));
}

TEST_CASE("everything that does not fit is in one error, and nothing was changed") {
  const TemporaryFolder folder;
  struct Other : nn::Module<Other> {
    nn::Conv2d conv{{.in = 2, .out = 4, .kernel = 2, .bias = false}};
    nn::BatchNorm2d norm{{.channels = 3}};
    nn::Linear head{{.in = 12, .out = 4}};
    Tensor count = zeros({3}, {.dtype = DType::int64});
    void visit(nn::Visitor& v) {
      v.child("conv", conv), v.child("norm", norm), v.child("head", head), v.buffer("norm.extra", count);
    }
  } other;
  other.norm.weight = zeros({3}, {.dtype = DType::int64});
  nn::save(other, folder / "other");
  Net net;
  const auto before = values(net);
  CHECK(refusal([&] { nn::load(net, folder / "other"); }) ==
        folder / "other" +
            ": does not fit the model, which is as it was:\n"
            "  conv.weight is F32 (4, 2, 2, 2) in the file, F32 (3, 2, 2, 2) in the model\n"
            "  missing in the file: conv.bias, F32 (3)\n"
            "  norm.weight is I64 (3) in the file, which is not cast to F32\n"
            "  missing in the file: rest.0.weight, F32 (4, 12)\n"
            "  missing in the file: rest.0.bias, F32 (4)\n"
            "  not in the model: norm.extra, I64 (3)\n"
            "  not in the model: head.bias, F32 (4)\n"
            "  not in the model: head.weight, F32 (4, 12)");
  CHECK(values(net) == before);
  CHECK_THROWS_AS(nn::load(net, folder / "other", {.strict = false}), FileError);  // sizes must fit all the same
  CHECK(values(net) == before);
}

TEST_CASE("what both sides have is loaded where the file need not have all") {
  const TemporaryFolder folder;
  Net net, saved;
  nn::save(saved.norm, folder / "norm");
  CHECK(refusal([&] { nn::load(net.norm, folder / "norm"); }) == "");
  nn::Sequential two(nn::Linear({.in = 2, .out = 2}), nn::Linear({.in = 2, .out = 3}));
  nn::Sequential one(nn::Linear({.in = 2, .out = 2}));
  const auto last = two.layer(1)(ones({1, 2})).values<float>();
  nn::save(one, folder / "one");
  const std::string text = refusal([&] { nn::load(two, folder / "one"); });
  CHECK(text.find("{.strict = false} loads what both have") != std::string::npos);
  const nn::LoadResult result = nn::load(two, folder / "one", {.strict = false});
  CHECK(result.missing == std::vector<std::string>{"1.weight", "1.bias"});
  CHECK(two.layer(0)(ones({1, 2})).values<float>() == one.forward(ones({1, 2})).values<float>());
  CHECK(two.layer(1)(ones({1, 2})).values<float>() == last);
  nn::save(two, folder / "two");
  CHECK(nn::load(one, folder / "two", {.strict = false}).unexpected == std::vector<std::string>{"1.bias", "1.weight"});
}

TEST_CASE("PyTorch's count of batches is passed over") {
  const TemporaryFolder folder;
  Net net;
  std::vector<NamedArray> arrays;
  for (const nn::NamedTensor& named : nn::state(net)) arrays.push_back({named.name, named.tensor.array()});
  arrays.push_back({"norm.num_batches_tracked", full({}, 3, DType::int64)});
  write_tensors(folder / "net", arrays);
  CHECK(nn::load(net, folder / "net").unexpected.empty());
  arrays.back().name = "num_batches_tracked_too";
  write_tensors(folder / "net", arrays);
  CHECK_THROWS_AS(nn::load(net, folder / "net"), FileError);
}

TEST_CASE("a file that ends early, or is none, changes nothing") {
  const TemporaryFolder folder;
  Net net;
  nn::save(net, folder / "net");
  const std::string bytes = read(folder / "net");
  const auto before = values(net);
  std::ofstream(folder / "short", std::ios::binary) << bytes.substr(0, bytes.size() - 1);
  CHECK_THROWS_AS(nn::load(net, folder / "short"), FileError);
  CHECK_THROWS_AS(nn::load(net, folder / "nowhere"), FileError);
  CHECK_THROWS_AS(nn::load(net, "/dev/null"), FileError);
  CHECK(values(net) == before);
}

TEST_CASE("a virtual device compares names and shapes, reads no values, and has none to save") {
  const TemporaryFolder folder;
  Net net;
  nn::save(net, folder / "net");
  const Device device = Device::open("virtual:cpu", {});
  const DeviceScope scope(device);
  Net unreal;
  const memory::Bytes allocated = device.allocator().allocated();
  device.allocator().reset_peak();
  CHECK(nn::load(unreal, folder / "net").missing.empty());
  CHECK(device.allocator().peak().allocated == allocated);
  CHECK_THROWS_AS(nn::load(unreal.conv, folder / "net"), FileError);
  const std::string text = refusal([&] { nn::save(unreal, folder / "unreal"); });
  CHECK(text.find("lies on virtual:cpu, where values are unknown") != std::string::npos);
  CHECK(folder.files() == 1);
}

TEST_CASE("loading takes no memory of the device beside the model's own") {
  const TemporaryFolder folder;
  const Device device = Device::open("cpu", {});
  const DeviceScope scope(device);
  Net net;
  net.conv.weight = Tensor(net.conv.weight.array().channels_last(), true);
  net.to(DType::float16);
  nn::save(net.to(DType::float32), folder / "net");
  net.to(DType::float16);
  const memory::Bytes allocated = device.allocator().allocated();
  device.allocator().reset_peak();
  nn::load(net, folder / "net");
  CHECK(device.allocator().peak().allocated == allocated);
}

// `Net other = net` shares the tensors of net.
TEST_CASE("the values of a model are copied into another one, whatever its strides, dtype and device") {
  const Device elsewhere = Device::open("cpu");
  Net net, other, far;
  net.norm.running_mean = Tensor(Array::from<float>({1, 2, 3}, {3}));
  other.conv.weight = Tensor(other.conv.weight.array().channels_last(), true);
  far.to(DType::float64).to(elsewhere);
  const Tensor weight = other.rest.parameters()[0];
  const Net shared = net;
  nn::copy(net, other);
  nn::copy(net, far);
  CHECK(values(other) == values(net));
  CHECK(values(far) == values(net));
  CHECK(far.conv.weight.dtype() == DType::float64);
  CHECK(far.conv.weight.device() == elsewhere);
  CHECK(weight.values<float>() == net.rest.parameters()[0].values<float>());
  CHECK(weight.requires_grad());
  const auto before = values(other);
  {
    const NoGradScope no_grad;
    fill_(net.conv.bias, 7);
  }
  CHECK(values(other) == before);
  CHECK(shared.conv.bias.values<float>() == std::vector<float>{7, 7, 7});
}

TEST_CASE("models that differ are named in one error, and nothing is copied") {
  struct Other : nn::Module<Other> {
    nn::Conv2d conv{{.in = 2, .out = 3, .kernel = 1}};
    nn::Linear more{{.in = 1, .out = 1, .bias = false}};
    void visit(nn::Visitor& v) { v.child("conv", conv), v.child("more", more); }
  } other;
  Net net;
  const auto before = values(net);
  const std::string text = refusal([&] { nn::copy(other, net); });
  for (const char* part : {"[copy_state]", "conv.weight is F32 (3, 2, 1, 1), and F32 (3, 2, 2, 2) where it is to go",
                           "there is none: norm.weight, F32 (3)", "there is none: rest.0.bias, F32 (4)",
                           "has no place: more.weight, F32 (1, 1)"}) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(text.find("conv.bias") == std::string::npos);
  CHECK(values(net) == before);
}
