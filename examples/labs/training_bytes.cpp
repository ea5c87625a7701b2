#include "labs/training_bytes.h"

#include "labs/layer.h"
#include "labs/recorded_devices.h"

namespace mnemo::labs {

TrainingBytes measure_training(const models::Spec& spec, const training::TrainerOptions& options, std::int64_t batch,
                               const std::string& name) {
  const Device device = open_device(name, exact_blocks());
  const DeviceScope here(device);
  manual_seed(0);
  training::Trainer trainer(spec, options);
  TrainingBytes measured;
  {
    const models::Batch data = models::random_batch(spec, batch, spec.size, options.dtype);
    const AutocastScope half(training::autocast_of(options));
    const Tensor output = trainer.model().forward(data.input);
    measured.forward = device.allocator().categories();
  }
  trainer.step(batch, spec.size);
  measured.peak = trainer.step(batch, spec.size).peak;
  measured.after = device.allocator().categories();
  return measured;
}

}  // namespace mnemo::labs
