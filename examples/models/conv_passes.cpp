#include "models/conv_passes.h"

#include "training/trainer.h"

namespace mnemo::models {

std::vector<ConvPassOf> conv_passes(const Spec& spec, DType dtype, std::int64_t batch_size, std::int64_t edge) {
  const RandomState before = random_state();
  std::vector<ConvPassOf> passes;
  {
    const DeviceScope scope(Device::open("virtual:cpu", {}));
    training::Trainer trainer(spec, training::Rule::sgd, dtype);
    const ConvTrace trace;
    trainer.step(batch_size, edge);
    for (const ConvTrace::Entry& entry : trace.entries()) passes.push_back({entry.module, entry.problem, entry.pass});
  }
  set_random_state(before);
  if (is_lone_layer(passes)) {
    ConvPassOf data = passes.front();
    data.pass = ConvPass::data_gradient;
    passes.insert(passes.begin() + 1, data);
  }
  return passes;
}

bool is_lone_layer(const std::vector<ConvPassOf>& passes) {
  for (const ConvPassOf& pass : passes) {
    if (pass.module != passes.front().module) return false;
  }
  return !passes.empty();
}

}  // namespace mnemo::models
