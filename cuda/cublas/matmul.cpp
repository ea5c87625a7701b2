// matmul: cuBLASLt's favourite algorithm for each product, asked for once. The same bits in every run: one algorithm
// per product, and no sums in an order that is left open.
#include <mnemo/cuda/cublas/matmul.h>

#include <atomic>
#include <cassert>
#include <mutex>
#include <unordered_map>

#include <fmt/format.h>

#include <mnemo/core/conv.h>
#include <mnemo/core/error.h>
#include <mnemo/cuda/cublas/library.h>
#include <mnemo/cuda/cublas/matmul_layout.h>
#include <mnemo/cuda/device/room.h>
#include <mnemo/cuda/kernels/multiply.h>
#include <mnemo/memory/log.h>

namespace mnemo::cuda {

void check_cublas(const CublasLibrary& library, cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw CudaError(fmt::format("[matmul] {}: {}", what, library.status_string(status)));
}

namespace {

struct Hash {
  std::size_t operator()(const ColumnProduct& p) const {
    std::size_t state = static_cast<std::size_t>(p.dtype);
    const auto mix = [&](std::int64_t number) {
      state = (state ^ static_cast<std::size_t>(number)) * 0x9e3779b97f4a7c15u;
      state ^= state >> 29;
    };
    for (const std::int64_t number : {p.rows, p.columns, p.depth, p.batch, p.workspace}) mix(number);
    for (const Columns& matrix : {p.a, p.b, p.d})
      mix(matrix.leading * 2 + (matrix.transposed ? 1 : 0)), mix(matrix.batch_stride);
    mix((p.accumulate ? 1 : 0) + (p.tf32 ? 268435456 : 0) + p.a_alignment * 2 + p.b_alignment * 1024 +
        p.d_alignment * 524288);
    mix(p.bias_alignment);
    return state;
  }
};

/// Something of the library's that is destroyed with its owner.
template <class Handle>
class Owned {
 public:
  explicit Owned(cublasStatus_t (*destroy)(Handle)) : destroy_(destroy) {}
  ~Owned() {
    if (handle_ != nullptr) destroy_(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  Handle* address() { return &handle_; }
  operator Handle() const { return handle_; }

 private:
  cublasStatus_t (*destroy_)(Handle);
  Handle handle_ = nullptr;
};

cudaDataType_t element_type(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return CUDA_R_64F;
    case DType::float16:
      return CUDA_R_16F;
    case DType::bfloat16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

/// The descriptors of a product, and the algorithm for it.
class Plan {
 public:
  /// `bias`: what the library is to add, or null. `run` may be given another one that is aligned alike.
  Plan(const CublasLibrary& library, cublasLtHandle_t handle, const ColumnProduct& product, const void* bias)
      : library_(library),
        operation_(library.destroy_operation),
        a_(library.destroy_layout),
        b_(library.destroy_layout),
        d_(library.destroy_layout) {
    const bool in_double = product.dtype == DType::float64;
    const cublasComputeType_t compute = in_double      ? CUBLAS_COMPUTE_64F
                                        : product.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                       : CUBLAS_COMPUTE_32F;
    check_cublas(library, library.create_operation(operation_.address(), compute, in_double ? CUDA_R_64F : CUDA_R_32F),
                 "describing the product");
    set_operation(CUBLASLT_MATMUL_DESC_TRANSA, product.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set_operation(CUBLASLT_MATMUL_DESC_TRANSB, product.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (bias != nullptr) {
      set_operation(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set_operation(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);  // the algorithm depends on its alignment
    }
    describe(a_, product, product.a, product.rows, product.depth);
    describe(b_, product, product.b, product.depth, product.columns);
    describe(d_, product, product.d, product.rows, product.columns);
    choose(handle, product);
  }

  /// Whether the library has an algorithm at all, which has not failed.
  bool is_supported() const { return supported_; }
  void give_up() const { supported_ = false; }

  template <class C>
  void run(cublasLtHandle_t handle, C alpha, const void* a, const void* b, const void* bias, void* d, bool accumulate,
           void* workspace, std::size_t bytes, cudaStream_t stream) const {
    const C beta = accumulate ? 1 : 0;
    std::unique_lock lock(bias_mutex_, std::defer_lock);
    if (bias != nullptr) {
      lock.lock();
      set_operation(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    check_cublas(library_,
                 library_.matmul(handle, operation_, &alpha, a, a_, b, b_, &beta, d, d_, d, d_, &algorithm_, workspace,
                                 bytes, stream),
                 "cuBLASLt does not compute the product");
  }

 private:
  template <class Value>
  void set_operation(cublasLtMatmulDescAttributes_t attribute, Value value) const {
    check_cublas(library_, library_.set_operation(operation_, attribute, &value, sizeof value),
                 "describing the product");
  }

  void describe(Owned<cublasLtMatrixLayout_t>& layout, const ColumnProduct& product, const Columns& matrix,
                std::int64_t rows, std::int64_t columns) {
    if (matrix.transposed) std::swap(rows, columns);
    const auto check = [&](cublasStatus_t status) { check_cublas(library_, status, "describing an operand"); };
    check(library_.create_layout(layout.address(), element_type(product.dtype), static_cast<std::uint64_t>(rows),
                                 static_cast<std::uint64_t>(columns), matrix.leading));
    if (product.batch == 1) return;
    const auto count = static_cast<std::int32_t>(product.batch);
    const std::int64_t stride = matrix.batch_stride;
    check(library_.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    check(library_.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
  }

  void choose(cublasLtHandle_t handle, const ColumnProduct& product) {
    Owned<cublasLtMatmulPreference_t> preference(library_.destroy_preference);
    check_cublas(library_, library_.create_preference(preference.address()), "asking for an algorithm");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check_cublas(library_, library_.set_preference(preference, attribute, &value, sizeof value),
                   "asking for an algorithm");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(product.workspace));
    // Parts of a sum are kept apart in the workspace, not rounded to the result's type nor added as they come. With a
    // bias of a half type there are no parts: where there are, it is reported to be added to what is rounded already
    // (PyTorch, pull request 180875).
    const bool in_parts = product.bias_alignment == 0 || !is_half(product.dtype);
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(in_parts ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(product.a_alignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(product.b_alignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(product.d_alignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(product.d_alignment));
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    const cublasStatus_t status =
        library_.heuristic(handle, operation_, a_, b_, d_, d_, preference, 1, &result, &count);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE)
      check_cublas(library_, status, "asking for an algorithm");
    supported_ = status == CUBLAS_STATUS_SUCCESS && count > 0 && result.state == CUBLAS_STATUS_SUCCESS;
    algorithm_ = result.algo;
    if (supported_) return;
    memory::log_info(fmt::format(
        "[matmul] cuBLASLt has no algorithm for {} x ({}, {}, {}) of {}{}", product.batch, product.rows, product.depth,
        product.columns, name(product.dtype),
        product.bias_alignment > 0 ? " with a bias: a kernel of its own adds it" : ": mnemo's own kernel computes it"));
  }

  const CublasLibrary& library_;
  Owned<cublasLtMatmulDesc_t> operation_;
  Owned<cublasLtMatrixLayout_t> a_, b_, d_;
  cublasLtMatmulAlgo_t algorithm_{};
  mutable std::atomic<bool> supported_ = false;
  mutable std::mutex bias_mutex_;  ///< held while operation_ names one thread's bias
};

/// Whether the thread's policy lets a product round its operands.
bool rounds_to_tf32(DType dtype) {
  const ConvPolicy& policy = conv_policy();
  return dtype == DType::float32 && policy.allow_tf32 && policy.choice != ConvPolicy::Choice::pytorch;
}

void* address(const Array& array) { return array.storage()->data() + array.layout().offset * size_of(array.dtype()); }

}  // namespace

class MatmulRunner::State {
 public:
  State() : library_(cublas_library()), handle_(library_.destroy) {
    if (!library_.obstacle.empty()) {
      throw CudaError(
          fmt::format("[matmul] cuBLASLt cannot be loaded: {}; install the CUDA toolkit's libraries, or set "
                      "LD_LIBRARY_PATH or CUDA_HOME to where they are",
                      library_.obstacle));
    }
    check_cublas(library_, library_.create(handle_.address()), "starting cuBLASLt");
  }

  const Plan& plan(const ColumnProduct& product, const void* bias) {
    const std::lock_guard lock(mutex_);
    if (const auto found = plans_.find(product); found != plans_.end()) return found->second;
    return plans_.try_emplace(product, library_, handle_, product, bias).first->second;
  }
  cublasLtHandle_t handle() const { return handle_; }

 private:
  const CublasLibrary& library_;
  Owned<cublasLtHandle_t> handle_;
  std::mutex mutex_;
  std::unordered_map<ColumnProduct, Plan, Hash> plans_;
};

MatmulRunner::MatmulRunner() = default;
MatmulRunner::~MatmulRunner() = default;

MatmulRunner::State& MatmulRunner::state() {
  std::call_once(started_, [this] { state_ = std::make_unique<State>(); });
  return *state_;
}

void MatmulRunner::run(CudaBackend& backend, const MatmulCall& call) {
  auto product = column_product(call);
  if (product) product->tf32 = rounds_to_tf32(product->dtype);
  // An algorithm may have a block of threads for each matrix along an axis of the grid that ends at 65535.
  constexpr std::int64_t kMostMatrices = 65535;
  if (!product || product->batch > kMostMatrices) return multiply_strided(backend, call);
  if (product->bias_alignment > 0) {
    if (run(backend, call, *product)) return;
    product->bias_alignment = 0;
  }
  // Where the library does not add the bias, the product is added to it, and rounded once with it.
  product->accumulate = call.accumulate || call.bias.defined();
  if (!run(backend, call, *product)) multiply_strided(backend, call);
}

bool MatmulRunner::run(CudaBackend& backend, const MatmulCall& call, const ColumnProduct& product) {
  cudaStream_t const stream = backend.stream();  // makes the device the current one, for which the library starts
  const Array &left = product.swapped ? call.b : call.a, &right = product.swapped ? call.a : call.b;
  const bool adds_bias = product.bias_alignment > 0;
  const void* const bias = adds_bias ? address(call.bias) : nullptr;
  void* const memory = call.workspace.defined() ? address(call.workspace) : nullptr;
  const auto bytes = static_cast<std::size_t>(product.workspace);
  const Plan* plan = nullptr;
  try {
    with_room(backend, [&] {
      State& opened = state();
      plan = &opened.plan(product, bias);
      if (!plan->is_supported()) return;
      if (call.bias.defined() && !adds_bias) backend.copy(call.bias.expand(call.out.shape()), call.out);
      const auto run_with = [&](auto scale) {
        plan->run(opened.handle(), scale, address(left), address(right), bias, address(call.out), product.accumulate,
                  memory, bytes, stream);
      };
      if (product.dtype == DType::float64)
        run_with(call.scale);
      else
        run_with(static_cast<float>(call.scale));
    });
    return plan->is_supported();
  } catch (const CudaError& error) {
    if (!is_over() || !cublas_library().obstacle.empty()) throw;  // which says what to install
    if (plan != nullptr) plan->give_up();
    memory::log_warning(fmt::format("{} of {} x {} = {}, {}{}", error.what(), call.a.shape().text(),
                                    call.b.shape().text(), call.out.shape().text(),
                                    adds_bias ? "whose bias a kernel of its own adds" : "which mnemo's own kernel does",
                                    plan != nullptr ? " from now on" : ""));
  }
  return false;
}

void CudaBackend::matmul(const MatmulCall& call) {
  assert(!(call.accumulate && call.bias.defined()));
  if (call.out.numel() == 0) return;
  if (call.a.size(2) > 0) return matmul_->run(*this, call);
  if (call.bias.defined()) return copy(call.bias.expand(call.out.shape()), call.out);
  if (!call.accumulate) fill(call.out, 0);
}

}  // namespace mnemo::cuda
