// The CUDA backend: real arithmetic on one GPU. Each family's body is a file of cuda/kernels/, but for those that a
// library computes (cuda/cublas/, cuda/cudnn/). Private: includes CUDA's headers.
#pragma once

#include <memory>

#include <mnemo/core/backend.h>
#include <mnemo/cuda/device/streams.h>

namespace mnemo::cuda {

class ConvRunner;
class MatmulRunner;

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::string name, std::string title, int index, std::shared_ptr<Streams> streams,
              std::unique_ptr<memory::Source> source, const memory::AllocatorConfig& config,
              std::shared_ptr<const Decisions> decisions);
  ~CudaBackend() override;

  int index() const { return index_; }
  int multiprocessors() const { return multiprocessors_; }
  /// Makes the device the current one of this thread, and gives the stream that the thread queues work in.
  cudaStream_t stream() const;
  /// Gives cached memory back to the device, for what its driver needs.
  void make_room() const;
  /// Whether what is queued there is recorded instead of done.
  bool is_capturing() const;
  /// What kernels of that stream leave partial results in.
  ScratchLease scratch() const { return streams_->scratch(current_stream()); }

  bool is_virtual() const override { return false; }
  std::string title() const override { return title_; }
  void synchronize() override;
  memory::StreamId new_stream() override { return streams_->add(); }
  void wait(memory::StreamId waiting, memory::StreamId awaited) override;
  bool can_capture() const override { return true; }
  void begin_capture() override;
  std::shared_ptr<void> end_capture() override;
  void repeat(void* recording) override;
  void read(const Array& from, void* host) override;
  void write(const void* host, const Array& to) override;

  void unary(UnaryOp op, const Scalars& scalars, const Array& x, const Array& out) override;
  void unary_gradient(UnaryOp op, const Scalars& scalars, const Array& grad, const Array& saved,
                      const Array& out) override;
  void binary(BinaryOp op, const Array& a, const Array& b, const Array& out) override;
  void compare(CompareOp op, const Array& a, const Array& b, const Array& out) override;
  void choose(const Array& condition, const Array& a, const Array& b, const Array& out) override;
  void copy(const Array& from, const Array& to) override;
  void fill(const Array& out, double value) override;
  void sign_bits(const Array& x, const Array& bits) override;
  void keep_bits(const Array& x, const Array& bits, const Array& out) override;
  void random(const RandomCall& call, const Array& out) override;
  void dropout(const DropoutCall& call, const Array& x, const Array& out) override;
  void reduce(ReduceOp op, const Array& x, unsigned axes, double scale, const Array& out) override;
  void arg_max(const Array& x, int axis, bool smallest, const Array& out) override;
  void cumsum(const Array& x, int axis, bool reverse, const Array& out) override;
  void sort(const SortCall& call) override;
  void matmul(const MatmulCall& call) override;
  void conv(const ConvCall& call) override;
  void pool(const PoolProblem& problem, const Array& x, const Array& y, const Array& offsets) override;
  void pool_gradient(const PoolProblem& problem, const Array& grad, const Array& offsets, const Array& dx) override;
  void resample(const ResampleProblem& problem, const Array& x, const Array& y) override;
  void resample_gradient(const ResampleProblem& problem, const Array& grad, const Array& dx) override;
  void normalize(const NormalizeCall& call) override;
  void normalize_gradient(const NormalizeGradientCall& call) override;
  void row_norm(const RowNormCall& call) override;
  void row_norm_gradient(const RowNormGradientCall& call) override;
  void recurrent_step(const RecurrentCall& call) override;
  void recurrent_step_gradient(const RecurrentGradientCall& call) override;
  void softmax(const SoftmaxCall& call, const Array& x, const Array& y) override;
  void softmax_gradient(const SoftmaxCall& call, const Array& grad, const Array& y, const Array& dx) override;
  void cross_entropy(const CrossEntropyCall& call, const Array& logits, const Array& targets,
                     const Array& losses) override;
  void cross_entropy_gradient(const CrossEntropyCall& call, const Array& grad, const Array& logits,
                              const Array& targets, const Array& dlogits) override;
  std::optional<std::int64_t> first_bad_index(const Array& indices, std::int64_t limit, std::int64_t ignore) override;
  void gather(const Array& x, int axis, const Array& index, const Array& out) override;
  void scatter_add(const Array& x, int axis, const Array& index, const Array& out) override;
  void update(const UpdateCall& call, std::span<const UpdateSlot> slots) override;
  void unscale(std::span<const Array> gradients, const Array& scale, const Array& found) override;
  void update_scale(const ScaleRule& rule, const Array& found, const Array& scale, const Array& good_steps) override;
  void norm(std::span<const Array> arrays, double p, const Array& out) override;

 private:
  /// A convolution by mnemo's own kernels, but for its relu.
  void compute_itself(const ConvCall& call);

  std::string title_;
  int index_;
  int multiprocessors_ = 0;
  std::shared_ptr<Streams> streams_;
  std::unique_ptr<MatmulRunner> matmul_;
  std::unique_ptr<ConvRunner> conv_;
};

}  // namespace mnemo::cuda
