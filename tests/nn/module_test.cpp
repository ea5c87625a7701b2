#include <doctest/doctest.h>

#include <map>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/layers.h>
#include <mnemo/nn/sequential.h>
#include <mnemo/optim/optimizer.h>

using namespace mnemo;
using namespace mnemo::nn;

namespace {

struct Block : Module<Block> {
  Conv2d conv{{.in = 3, .out = 4, .kernel = 3}};
  Sequential rest{BatchNorm2d({.channels = 4}), Sequential(ReLU(), Dropout(0.5)), Flatten(),
                  Linear({.in = 4 * 4 * 4, .out = 2})};

  Tensor forward(const Tensor& x) { return rest(conv(x)); }
  void visit(Visitor& v) { v.child("conv", conv), v.child("rest", rest); }
};

struct Net : Module<Net> {
  Block first, second;
  Tensor scale = Tensor(ones({1}).array(), true);

  Tensor forward(const Tensor& x) {
    const Tensor a = first(x), b = second(x);
    return (a + b) * scale;
  }
  void visit(Visitor& v) { v.parameter("scale", scale), v.child("first", first), v.child("second", second); }
};

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> result;
  for (const NamedTensor& named : tensors) result.push_back(named.name);
  return result;
}

}  // namespace

TEST_CASE("dotted names follow the nesting, through Sequential by number") {
  Net net;
  CHECK(names(net.named_parameters()) ==
        std::vector<std::string>{"scale", "first.conv.weight", "first.conv.bias", "first.rest.0.weight",
                                 "first.rest.0.bias", "first.rest.3.weight", "first.rest.3.bias", "second.conv.weight",
                                 "second.conv.bias", "second.rest.0.weight", "second.rest.0.bias",
                                 "second.rest.3.weight", "second.rest.3.bias"});
  CHECK(names(net.named_buffers()) == std::vector<std::string>{"first.rest.0.running_mean", "first.rest.0.running_var",
                                                               "second.rest.0.running_mean",
                                                               "second.rest.0.running_var"});
  CHECK(net.parameter_count() == 1 + 2 * (4 * 27 + 4 + 8 + 64 * 2 + 2));
}

TEST_CASE("two children of the same name are refused when the model is first visited, not when it is saved") {
  struct Twins : Module<Twins> {
    Linear a{{.in = 4, .out = 4}}, b{{.in = 4, .out = 4}};
    Tensor forward(const Tensor& x) { return b(a(x)); }
    void visit(Visitor& v) { v.child("layer", a), v.child("layer", b); }
  };
  struct Cached : Module<Cached> {
    Tensor scale = Tensor(ones({1}).array(), true), cache = ones({1});
    void visit(Visitor& v) { v.parameter("scale", scale), v.buffer("scale", cache); }
  };
  Twins net;
  const auto refusal = [](auto& model) {
    try {
      (void)model.parameters();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal(net).find("two tensors of the model are called layer.weight") != std::string::npos);
  Cached cached;
  CHECK(refusal(cached).find("called scale") != std::string::npos);
}

TEST_CASE("train and eval reach every module, also inside nested Sequentials") {
  Net net;
  const Tensor x = ones({2, 3, 6, 6});
  net.eval();
  CHECK_FALSE(net.first.conv.training);
  CHECK(net(x).values<float>() == net(x).values<float>());
  CHECK(net.named_buffers()[0].tensor.values<float>()[0] == 0);
  net.train();
  CHECK(net.second.rest.training);
  CHECK(net(randn({2, 3, 6, 6})).values<float>() != net(randn({2, 3, 6, 6})).values<float>());
  CHECK(net.named_buffers()[0].tensor.values<float>()[0] != 0);
}

TEST_CASE("to(dtype) casts what is floating; the model works, and keeps its categories") {
  const Device device = Device::open("cpu");
  const DeviceScope scope(device);
  Net net;
  net.to(DType::float64);
  for (const NamedTensor& named : net.named_parameters()) {
    CHECK(named.tensor.dtype() == DType::float64);
    CHECK(named.tensor.requires_grad());
    CHECK(named.tensor.is_leaf());
    CHECK(named.tensor.array().storage()->category() ==
          (named.name == "scale" ? memory::Category::other : memory::Category::parameter));
  }
  CHECK(net.named_buffers()[0].tensor.dtype() == DType::float64);
  sum(net(ones({2, 3, 6, 6}, {.dtype = DType::float64}))).backward();
  CHECK(net.first.conv.weight.grad().dtype() == DType::float64);
  CHECK_THROWS_AS(net.to(DType::int64), DTypeError);
  CHECK(net.first.conv.weight.dtype() == DType::float64);
}

TEST_CASE("to(device) moves parameters and buffers with their values, and leaves nothing behind") {
  const Device from = Device::open("cpu"), target = Device::open("cpu"), imitation = Device::open("virtual:cpu");
  Net net = [&] {
    const DeviceScope scope(from);
    return Net();
  }();
  const auto weight = net.first.conv.weight.values<float>();
  const auto bytes = from.allocator().allocated();
  net.to(target);
  CHECK(from.allocator().allocated() == 0);
  CHECK(target.allocator().allocated() == bytes);
  CHECK(net.first.conv.weight.values<float>() == weight);
  net.to(imitation);
  CHECK(target.allocator().allocated() == 0);
  CHECK(imitation.allocator().allocated() == bytes);
  sum(net(ones({2, 3, 6, 6}, {.device = imitation}))).backward();
  CHECK(net.scale.grad().device() == imitation);
}

TEST_CASE("what a model shares stays shared when it is moved or cast, and is one parameter") {
  struct Tied : Module<Tied> {
    Linear a{{.in = 4, .out = 4}}, b{{.in = 4, .out = 4}};
    Tied() { b.weight = a.weight; }
    Tensor forward(const Tensor& x) { return b(a(x)); }
    void visit(Visitor& v) { v.child("a", a), v.child("b", b); }
  };
  Tied net;
  CHECK(net.parameters().size() == 3);
  CHECK(net.parameter_count() == 16 + 4 + 4);
  CHECK(net.named_parameters().size() == 4);
  const Device other = Device::open("cpu");
  const auto before = other.allocator().allocated();
  net.to(other);
  CHECK(other.allocator().allocated() == before + 3 * 512);
  CHECK(net.a.weight.node() == net.b.weight.node());
  net.to(DType::float64);
  CHECK(net.a.weight.node() == net.b.weight.node());
  CHECK(net.a.weight.array().storage() == net.b.weight.array().storage());
  CHECK_FALSE(net.a.bias.node() == net.b.bias.node());
  CHECK(net.parameters().size() == 3);
  sum(net.forward(ones({1, 4}, {.dtype = DType::float64, .device = other}))).backward();
  CHECK(net.a.weight.grad().defined());
}

TEST_CASE("the ledger names the module of every allocation in forward and in backward") {
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  Net net;
  (void)net.parameters();  // gives the modules their paths
  const Tensor x = ones({2, 3, 6, 6});
  std::map<std::string, std::string> seen;
  const auto subscription = device.allocator().subscribe([&](const memory::Event& event) {
    if (event.kind == memory::EventKind::alloc)
      seen[std::string(name(event.tag.phase)) + " " + event.tag.op] += std::string(event.tag.module) + ";";
  });
  sum(net(x)).backward();
  CHECK(seen["forward conv2d"] == "first.conv;second.conv;");
  CHECK(seen["forward relu"] == "first.rest.1.0;second.rest.1.0;");
  CHECK(seen["forward add"] == ";");
  CHECK(seen["forward dropout"] == "first.rest.1.1;second.rest.1.1;");
  CHECK(seen["backward conv2d"].find("second.conv;") == 0);
  CHECK(seen["backward conv2d"].find("first.conv;") != std::string::npos);
  CHECK(seen["backward linear"].find("second.rest.3;") == 0);
  CHECK(seen["backward batch_norm"].find("second.rest.0;") == 0);
}

TEST_CASE("an error says in which module it happened") {
  Net net;
  (void)net.parameters();
  std::string text;
  try {
    net(ones({2, 4, 6, 6}));
  } catch (const ShapeError& error) {
    text = error.what();
  }
  CHECK(text.rfind("[conv2d] first.conv: ", 0) == 0);
}

TEST_CASE("Sequential: layers are added, nested ones are layers, copies share their modules") {
  Sequential net(Linear({.in = 3, .out = 4}));
  net.add(ReLU()).add(Linear({.in = 4, .out = 2}));
  CHECK(net.size() == 3);
  CHECK(names(net.named_parameters()) == std::vector<std::string>{"0.weight", "0.bias", "2.weight", "2.bias"});
  Sequential copy = net;
  CHECK(copy.size() == 3);
  CHECK(copy.parameters()[0].node() == net.parameters()[0].node());
  CHECK(net(ones({5, 3})).shape() == Shape{5, 2});
  Sequential empty;
  CHECK(empty.parameters().empty());
}

TEST_CASE("an optimizer takes the parameters that are not frozen, and says so when it is given others") {
  nn::Sequential net(nn::Linear({.in = 3, .out = 4}), nn::ReLU(), nn::Linear({.in = 4, .out = 2}));
  const std::vector<Tensor> all = net.parameters();
  CHECK(net.trainable_parameters().size() == 4);
  // Through the model's own handles, by name.
  struct Freezer final : nn::Visitor {
    void on_parameter(const std::string& path, Tensor& tensor) override {
      if (path.rfind("0.", 0) == 0) tensor.set_requires_grad(false);
    }
  } freezer;
  freezer.run(net);
  const std::vector<Tensor> trained = net.trainable_parameters();
  REQUIRE(trained.size() == 2);
  CHECK(net.parameters().size() == 4);
  CHECK(trained[0].array().storage() == all[2].array().storage());
  std::string text = "no error";
  try {
    optim::SGD{net.parameters()};
  } catch (const GradError& error) {
    text = error.what();
  }
  CHECK(text.find("trainable_parameters()") != std::string::npos);
  const auto before = all[0].values<float>(), bias = all[3].values<float>();
  optim::SGD optimizer(trained, {.lr = 1});
  mean(net(ones({1, 3})) * 1000.0).backward();
  CHECK_FALSE(all[0].grad().defined());
  optimizer.step();
  CHECK(all[0].values<float>() == before);
  CHECK(all[3].values<float>() == std::vector<float>{bias[0] - 500, bias[1] - 500});
}

// As PyTorch's users do it, and a GAN in every step: nothing was frozen, or the optimizer found no gradient any more.
TEST_CASE("a model is frozen and thawed through parameters(), and its optimizer goes on") {
  nn::Sequential net(nn::Linear({.in = 3, .out = 4}), nn::ReLU(), nn::Linear({.in = 4, .out = 2}));
  net.add(nn::BatchNorm1d({.channels = 2}));
  optim::SGD optimizer(net.parameters(), {.lr = 1});
  const auto freeze = [&](bool frozen) {
    for (Tensor& parameter : net.parameters()) parameter.set_requires_grad(!frozen);
  };
  freeze(true);
  CHECK(net.parameters().size() == 6);
  CHECK(net.trainable_parameters().empty());
  Tensor x = ones({3, 3});
  x.set_requires_grad(true);
  sum(net(x)).backward();
  CHECK(x.grad().defined());
  for (const Tensor& parameter : net.parameters()) CHECK_FALSE(parameter.grad().defined());
  freeze(false);
  CHECK(net.trainable_parameters().size() == 6);
  sum(net(x)).backward();
  optimizer.step();
  CHECK(net.parameters()[5].values<float>() == std::vector<float>{-3, -3});  // the bias was 0, its gradient is 3
  freeze(true);
  net.to(DType::float64);
  CHECK(net.trainable_parameters().empty());
  CHECK(net.named_buffers().size() == 2);
  freeze(false);
  CHECK(net.trainable_parameters().size() == 6);
  CHECK_FALSE(net.named_buffers()[0].tensor.requires_grad());
}

// It was an Array of float64, the first dtype.
TEST_CASE("full with options that say nothing is a tensor of float32") {
  const Tensor x = full({2}, 7, {});
  CHECK(x.dtype() == DType::float32);
  CHECK(x.values<double>() == std::vector<double>{7, 7});
  CHECK(full({2}, 7, {.dtype = DType::int64}).dtype() == DType::int64);
  const Tensor y = full({2}, 0.5);
  CHECK(y.values<double>() == std::vector<double>{0.5, 0.5});
}
