#include <mnemo/nn/parts.h>

#include <algorithm>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/memory/log.h>
#include <mnemo/memory/out_of_memory.h>

namespace mnemo::nn {

Parts::Parts(std::int64_t first) : part_(first) {
  if (first < 0) fail<Error>("parts", fmt::format("{} samples in a part: 1 or more, or 0 for the whole batch", first));
}

void Parts::step(const std::vector<Tensor>& parameters, const std::vector<Tensor>& buffers, std::int64_t batch,
                 const std::function<void(std::int64_t, std::int64_t)>& body, const std::function<void()>& update) {
  if (batch < 1) fail<Error>("parts", fmt::format("a batch of {} samples has no parts: 1 or more", batch));
  for (;;) {
    const std::int64_t part = part_ > 0 ? std::min(part_, batch) : batch;
    try {
      Transaction transaction(parameters, buffers);
      for (std::int64_t begin = 0; begin < batch; begin += part) body(begin, std::min(begin + part, batch));
      update();
      transaction.commit();
      return;
    } catch (const OutOfMemory& error) {
      if (part <= 1) throw;
      part_ = (part + 1) / 2;
      memory::log_warning(
          fmt::format("a batch of {} did not fit: it goes on in parts of {} samples, to the same effect "
                      "but for layers in which samples see each other ({})",
                      part, part_, error.what()));
    }
  }
}

}  // namespace mnemo::nn
