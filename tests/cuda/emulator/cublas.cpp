// cuBLASLt's functions as cublasLt.h here promises them, and the table of them that the backend takes instead of a
// library's.
#include <algorithm>
#include <cstring>

#include <mnemo/core/dtype.h>
#include <mnemo/cuda/cublas/library.h>

namespace {

using mnemo::bfloat16;
using mnemo::float16;

template <class T>
cublasStatus_t set(T& place, const void* value, std::size_t size) {
  if (size != sizeof place) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&place, value, size);
  return CUBLAS_STATUS_SUCCESS;
}

bool is_aligned(const void* pointer, std::uint32_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

/// Of an address: the largest power of 2 that divides it, at most 256.
std::uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return static_cast<std::uint32_t>(std::min<std::uintptr_t>(256, address & (~address + 1)));
}

int& failures() {
  static int count = 0;
  return count;
}

/// Sizes after the operation on the operand.
struct Sizes {
  std::int64_t rows, columns;
  Sizes(const cublasLtMatrixLayoutOpaque_t& layout, cublasOperation_t operation)
      : rows(operation == CUBLAS_OP_T ? layout.columns : layout.rows),
        columns(operation == CUBLAS_OP_T ? layout.rows : layout.columns) {}
};

bool fits(const cublasLtMatmulDescOpaque_t& operation, const cublasLtMatrixLayoutOpaque_t& a,
          const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& d) {
  const Sizes left(a, operation.a), right(b, operation.b);
  bool good = left.rows == d.rows && right.columns == d.columns && left.columns == right.rows;
  for (const auto* layout : {&a, &b, &d}) {
    good = good && layout->rows > 0 && layout->columns > 0 && layout->leading >= layout->rows && layout->batch >= 1 &&
           layout->batch == d.batch && layout->type == d.type;
  }
  return good && (operation.compute == CUBLAS_COMPUTE_64F) == (d.type == CUDA_R_64F);
}

/// Why a bias cannot be added, or success: also where there is none. Versions of the library differ in whether they
/// have algorithms for float64 and for batches: here there are none.
cublasStatus_t check_bias(const cublasLtMatmulDescOpaque_t& operation, const cublasLtMatrixLayoutOpaque_t& d) {
  if (operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_SUCCESS;
  const std::uint32_t size = d.type == CUDA_R_64F ? 8 : d.type == CUDA_R_32F ? 4 : 2;
  const bool good =
      operation.epilogue == CUBLASLT_EPILOGUE_BIAS && operation.bias != nullptr && is_aligned(operation.bias, size);
  if (!good) return CUBLAS_STATUS_INVALID_VALUE;
  return d.type == CUDA_R_64F || d.batch > 1 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

template <class E>
void multiply(const cublasLtMatmulDescOpaque_t& operation, const E* a, const cublasLtMatrixLayoutOpaque_t& a_layout,
              const E* b, const cublasLtMatrixLayoutOpaque_t& b_layout, E* d,
              const cublasLtMatrixLayoutOpaque_t& d_layout, double alpha, bool adds) {
  using C = mnemo::compute_type<E>;
  const auto strides = [](const cublasLtMatrixLayoutOpaque_t& layout, cublasOperation_t transposed) {
    return transposed == CUBLAS_OP_T ? std::pair(layout.leading, std::int64_t{1})
                                     : std::pair(std::int64_t{1}, layout.leading);
  };
  const auto [a_row, a_column] = strides(a_layout, operation.a);
  const auto [b_row, b_column] = strides(b_layout, operation.b);
  const std::int64_t depth = Sizes(a_layout, operation.a).columns;
  for (std::int64_t batch = 0; batch < d_layout.batch; ++batch)
    for (std::int64_t j = 0; j < d_layout.columns; ++j)
      for (std::int64_t i = 0; i < d_layout.rows; ++i) {
        const E* left = a + batch * a_layout.batch_stride + i * a_row;
        const E* right = b + batch * b_layout.batch_stride + j * b_column;
        C sum = 0;
        for (std::int64_t k = 0; k < depth; ++k)
          sum += mnemo::cast<C>(left[k * a_column]) * mnemo::cast<C>(right[k * b_row]);
        sum *= static_cast<C>(alpha);
        if (operation.epilogue == CUBLASLT_EPILOGUE_BIAS)
          sum += mnemo::cast<C>(static_cast<const E*>(operation.bias)[i]);
        E& to = d[batch * d_layout.batch_stride + j * d_layout.leading + i];
        to = mnemo::cast<E>(adds ? mnemo::cast<C>(to) + sum : sum);
      }
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      break;
  }
  return "CUBLAS_STATUS_NOT_SUPPORTED";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if ((compute == CUBLAS_COMPUTE_64F) != (scale == CUDA_R_64F)) return CUBLAS_STATUS_NOT_SUPPORTED;
  *operation = new cublasLtMatmulDescOpaque_t{.compute = compute};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t size) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(operation->a, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(operation->b, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(operation->epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(operation->bias, value, size);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t leading) {
  *layout = new cublasLtMatrixLayoutOpaque_t{.type = type,
                                             .rows = static_cast<std::int64_t>(rows),
                                             .columns = static_cast<std::int64_t>(columns),
                                             .leading = leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t size) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return set(layout->batch, value, size);
  return set(layout->batch_stride, value, size);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t size) {
  std::uint32_t schemes = 0;
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return set(preference->workspace, value, size);
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) return set(schemes, value, size);
  return set(preference->alignments[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  if (wanted < 1 || !fits(*operation, *a, *b, *d)) return CUBLAS_STATUS_INVALID_VALUE;
  if (const cublasStatus_t status = check_bias(*operation, *d); status != CUBLAS_STATUS_SUCCESS) return status;
  cublasLtMatmulHeuristicResult_t& result = results[0];
  result.workspaceSize = std::min<std::size_t>(preference->workspace, 4096);
  result.algo.workspace = result.workspaceSize;
  std::copy_n(preference->alignments, 4, result.algo.alignments);
  result.algo.epilogue = operation->epilogue;
  result.algo.bias_alignment = alignment_of(operation->bias);
  result.state = CUBLAS_STATUS_SUCCESS;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  const void* operands[] = {a, b, c, d};
  bool good = fits(*operation, *a_layout, *b_layout, *d_layout) && workspace_bytes >= algorithm->workspace && c == d;
  for (int i = 0; i < 4; ++i) good = good && is_aligned(operands[i], algorithm->alignments[i]);
  good = good && algorithm->epilogue == operation->epilogue;
  if (good && operation->epilogue != CUBLASLT_EPILOGUE_DEFAULT)
    good = check_bias(*operation, *d_layout) == CUBLAS_STATUS_SUCCESS &&
           is_aligned(operation->bias, algorithm->bias_alignment);
  const bool in_double = d_layout->type == CUDA_R_64F;
  const auto number = [&](const void* value) {
    return in_double ? *static_cast<const double*>(value) : static_cast<double>(*static_cast<const float*>(value));
  };
  if (!good) return CUBLAS_STATUS_INVALID_VALUE;
  if (failures() > 0) {
    --failures();
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  const double factor = number(alpha);
  const bool adds = number(beta) != 0;
  const cudaError_t error = emulator::queue(stream, [=, operation = *operation, a_layout = *a_layout,
                                                     b_layout = *b_layout, d_layout = *d_layout,
                                                     used = algorithm->workspace] {
    emulator::list_work(operation.epilogue == CUBLASLT_EPILOGUE_BIAS ? "matrix product with a bias and a workspace of"
                                                                     : "matrix product with a workspace of",
                        used);
    if (used > 0) std::memset(workspace, 0xff, used);  // it must be this product's own
    const auto run = [&](auto zero) {
      using E = decltype(zero);
      multiply(operation, static_cast<const E*>(a), a_layout, static_cast<const E*>(b), b_layout, static_cast<E*>(d),
               d_layout, factor, adds);
    };
    switch (d_layout.type) {
      case CUDA_R_64F:
        return run(double{});
      case CUDA_R_16F:
        return run(float16{});
      case CUDA_R_16BF:
        return run(bfloat16{});
      case CUDA_R_32F:
        break;
    }
    run(float{});
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

void emulator::fail_products(int count) { failures() = count; }

namespace mnemo::cuda {

const CublasLibrary& cublas_library() {
  static const CublasLibrary library{.create = cublasLtCreate,
                                     .destroy = cublasLtDestroy,
                                     .status_string = cublasLtGetStatusString,
                                     .create_operation = cublasLtMatmulDescCreate,
                                     .destroy_operation = cublasLtMatmulDescDestroy,
                                     .set_operation = cublasLtMatmulDescSetAttribute,
                                     .create_layout = cublasLtMatrixLayoutCreate,
                                     .destroy_layout = cublasLtMatrixLayoutDestroy,
                                     .set_layout = cublasLtMatrixLayoutSetAttribute,
                                     .create_preference = cublasLtMatmulPreferenceCreate,
                                     .destroy_preference = cublasLtMatmulPreferenceDestroy,
                                     .set_preference = cublasLtMatmulPreferenceSetAttribute,
                                     .heuristic = cublasLtMatmulAlgoGetHeuristic,
                                     .matmul = cublasLtMatmul,
                                     .obstacle = ""};
  return library;
}

}  // namespace mnemo::cuda
