// Parts: training that survives an OutOfMemory. A step that does not fit is taken back and done again on parts of its
// batch, half as large, whose gradients are added up.
//
//   nn::Parts parts;
//   parts.step(model, 256, [&](std::int64_t begin, std::int64_t end) {
//     const double share = double(end - begin) / 256;
//     (cross_entropy(model(slice(images, 0, begin, end)), slice(labels, 0, begin, end)) * share).backward();
//   }, [&] { optimizer.step(); });
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <mnemo/nn/transaction.h>

namespace mnemo::nn {

class Parts {
 public:
  /// Samples of a part at first; 0: the whole batch. Throws Error for less.
  explicit Parts(std::int64_t first = 0);

  /// Calls `body(begin, end)` for each part of [0, batch), which adds to the gradients what its samples contribute to
  /// the mean over the batch, then `update()`. Upon an OutOfMemory everything is put back, the parts become half as
  /// large, the log says so, and it begins anew, at 0, where what the body adds up by itself (losses) must do so too; a
  /// part of one sample that does not fit is the caller's error. The result is that of the whole batch up to rounding,
  /// unless samples see each other, as in batch normalization. Throws Error for a batch of less than one sample.
  void step(const std::vector<Tensor>& parameters, const std::vector<Tensor>& buffers, std::int64_t batch,
            const std::function<void(std::int64_t begin, std::int64_t end)>& body, const std::function<void()>& update);
  template <class Model>
  void step(Model& model, std::int64_t batch, const std::function<void(std::int64_t begin, std::int64_t end)>& body,
            const std::function<void()>& update) {
    std::vector<Tensor> buffers;
    for (NamedTensor& named : model.named_buffers()) buffers.push_back(std::move(named.tensor));
    step(model.parameters(), buffers, batch, body, update);
  }

  /// Samples of a part by now; 0: the whole batch.
  std::int64_t part() const { return part_; }

 private:
  std::int64_t part_;
};

}  // namespace mnemo::nn
