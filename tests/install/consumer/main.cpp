// Three training steps, and who held the memory when it was fullest. Takes a device, such as cpu or virtual:h200.
#include <cstdio>

#include <mnemo/mnemo.h>

using namespace mnemo;

struct Net : nn::Module<Net> {
  nn::Conv2d conv{{.in = 3, .out = 32, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d norm{{.channels = 32}};
  nn::Linear head{{.in = 32 * 16 * 16, .out = 10}};

  Tensor forward(const Tensor& x) {                                   // (N, 3, 32, 32)
    const Tensor y = max_pool2d(relu(norm(conv(x))), {.kernel = 2});  // (N, 32, 16, 16)
    return head(flatten(y));                                          // (N, 10)
  }
  void visit(nn::Visitor& v) { v.child("conv", conv), v.child("norm", norm), v.child("head", head); }
};

int main(int argc, char** argv) {
  const Device device(argc > 1 ? argv[1] : "cpu");
  const DeviceScope scope(device);
  Net net;
  optim::Adam optimizer(net.parameters(), {.lr = 1e-4});
  const Tensor images = randn({64, 3, 32, 32});
  const Tensor labels = randint(0, 10, {64});

  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    const Tensor loss = cross_entropy(net(images), labels);
    loss.backward();
    optimizer.step();
    std::printf("step %d: loss %.4f\n", step, loss.item());
  }

  const memory::Peak peak = device.allocator().peak();
  std::printf("peak %s, reached in %s by %s\n", memory::format_bytes(peak.allocated).c_str(), name(peak.tag.phase),
              peak.tag.op);
  for (int i = 0; i < memory::kCategories; ++i) {
    const memory::Bytes bytes = peak.categories[static_cast<std::size_t>(i)];
    if (bytes > 0)
      std::printf("  %-17s %s\n", name(static_cast<memory::Category>(i)), memory::format_bytes(bytes).c_str());
  }
}
