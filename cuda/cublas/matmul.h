// Matrix products by cuBLASLt, which is loaded when the first one is computed. Private.
#pragma once

#include <memory>
#include <mutex>

#include <mnemo/core/backend.h>

namespace mnemo::cuda {

class CudaBackend;
struct ColumnProduct;

class MatmulRunner {
 public:
  MatmulRunner();
  ~MatmulRunner();

  /// Backend::matmul on the backend's current stream; by a kernel of mnemo's own where strides are none that cuBLASLt
  /// takes. Throws CudaError where cuBLASLt is absent or fails. REQUIRES: no size is 0.
  void run(CudaBackend& backend, const MatmulCall& call);

 private:
  class State;
  State& state();
  /// By the library, which adds the bias itself if the product says so; false where it cannot.
  bool run(CudaBackend& backend, const MatmulCall& call, const ColumnProduct& product);

  std::once_flag started_;
  std::unique_ptr<State> state_;
};

}  // namespace mnemo::cuda
