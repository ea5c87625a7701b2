// Matrix products by cuBLASLt, which is loaded when the first one is computed. Private.
#pragma once

#include <memory>

#include <mnemo/core/array.h>

namespace mnemo::cuda {

class CudaBackend;

class MatmulRunner {
 public:
  MatmulRunner();
  ~MatmulRunner();

  /// Backend::matmul on the backend's current stream. Throws CudaError where cuBLASLt is absent or refuses.
  void run(const CudaBackend& backend, const Array& a, const Array& b, const Array& out, bool accumulate,
           const Array& workspace);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace mnemo::cuda
