// DataFile: a user's own samples, from a file of tensors (safetensors), batch after batch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/registry.h"

namespace mnemo::training {

/// The tensors "input" (samples, channels, sizes...), floating-point, and "target" int64: (samples) class indices, or
/// (samples, sizes...) for models with a class for each pixel; none for models without classes. What else the file has
/// is passed over. Samples are taken in order, and after the last one comes the first again.
class DataFile {
 public:
  /// Throws FileError for a file that cannot be read, or whose tensors do not suit the model: its shapes beside those
  /// that are expected.
  DataFile(const std::string& path, const models::Spec& spec);

  const std::string& path() const { return file_.path(); }
  std::int64_t samples() const { return input_->sizes[0]; }
  /// The sizes of one input without its channels.
  std::vector<std::int64_t> sizes() const { return {input_->sizes.begin() + 2, input_->sizes.end()}; }

  /// The next samples on the current device, the input cast to `dtype`: as models::random_batch. A virtual device gets
  /// their shapes.
  models::Batch next(std::int64_t batch_size, DType dtype);

 private:
  void check_input(const models::Spec& spec) const;
  void check_target(const models::Spec& spec) const;
  Tensor take(const TensorEntry& entry, std::int64_t batch_size, DType dtype);

  TensorFile file_;
  const TensorEntry* input_;
  const TensorEntry* target_;  ///< nullptr if there is none
  std::int64_t at_ = 0;        ///< the next sample
  Device host_;                ///< where batches are put together, outside of the ledger of the program's CPU
};

}  // namespace mnemo::training
