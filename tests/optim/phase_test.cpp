// The optimizer's phase in a recording: markers say where it begins and ends, also when it allocates nothing.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <fmt/format.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/recorder.h>
#include <mnemo/memory/timeline.h>

#include "optimizers.h"

using namespace mnemo;

TEST_CASE("an optimizer tells whoever listens when its phase begins and ends") {
  const Device device = Device::open("virtual:cpu");
  Tensor parameter(full(Shape({8}), 1, DType::float32, device), true);
  parameter.set_grad(Tensor(full(Shape({8}), 0.5, DType::float32, device)));
  optim::SGD sgd({parameter}, {.lr = 0.1});
  sgd.step();  // nobody listens
  memory::Recorder recorder = memory::record(device.allocator(), memory::Ring{});
  {
    const memory::StepScope step(7);
    const memory::PhaseScope phase(memory::Phase::backward);
    sgd.step();
  }
  std::vector<std::string> seen;
  const memory::Recording recording = recorder.recording();
  for (const memory::Event& event : recording.events())
    seen.push_back(fmt::format("{} {}: {} {}", name(event.kind), event.tag.op, name(event.tag.phase), event.tag.step));
  CHECK(seen == std::vector<std::string>{"marker phase optimizer: optimizer 7", "marker phase backward: backward 7"});
}
