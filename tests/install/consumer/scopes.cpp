#include <cstdio>
#include <string>

#include <mnemo/mnemo.h>

using namespace mnemo;

namespace {

/// The average loss on data that is not trained on.
double evaluate(nn::Sequential& net, bool recording) {
  const GradModeScope mode(recording);
  Tensor total = zeros({});
  for (int i = 0; i < 4; ++i) {
    const memory::StepScope step(100 + i);  // each batch is a step of its own
    total = total + mean(pow(net(randn({256, 1024})), 2));
  }
  return total.item() / 4;
}

Tensor load_batch() {
  const memory::PhaseScope phase(memory::Phase::data);
  const memory::CategoryScope category(memory::Category::input);
  return randn({256, 1024});
}

}  // namespace

int main(int argc, char** argv) {
  const Device device(argc > 1 ? argv[1] : "cpu");
  const DeviceScope scope(device);
  const std::string file = argc > 2 ? argv[2] : "scopes.mnemo";
  {
    const memory::Recorder recorder = memory::record(file);
    nn::Sequential net(nn::Linear({.in = 1024, .out = 1024}), nn::ReLU(), nn::Linear({.in = 1024, .out = 8}));
    optim::Adam optimizer(net.parameters(), {.lr = 1e-3});
    for (int i = 1; i <= 3; ++i) {
      const memory::StepScope step(i);
      const Tensor images = load_batch();
      optimizer.zero_grad();
      {
        const memory::PhaseScope phase(memory::Phase::forward);
        mean(pow(net(images), 2)).backward();  // which is in Phase::backward by itself
      }
      optimizer.step();  // and this in Phase::optimizer
    }
    const bool mistake = argc > 3;  // to record what is not trained keeps four graphs
    std::printf("evaluated: %.4f\n", evaluate(net, mistake));
  }
  std::printf("%s", memory::paragraph(memory::explain(memory::Recording::read(file))).c_str());
}
