// The virtual backend: a device that allocates as the one it imitates does, takes its decisions, and computes nothing.
#pragma once

#include <mnemo/core/backend.h>

namespace mnemo {

class VirtualBackend final : public Backend {
 public:
  using Backend::Backend;

  bool is_virtual() const override { return true; }
  void synchronize() override {}
  // As the device that is imitated: every GPU has streams, and records.
  memory::StreamId new_stream() override { return is_gpu() ? ++streams_ : 0; }
  bool can_capture() const override { return is_gpu(); }
  std::shared_ptr<void> end_capture() override { return std::make_shared<char>(); }
  void read(const Array& from, void* host) override;
  void write(const void*, const Array&) override {}

  // Every family fills nothing.
  void unary(UnaryOp, const Scalars&, const Array&, const Array&) override {}
  void unary_gradient(UnaryOp, const Scalars&, const Array&, const Array&, const Array&) override {}
  void binary(BinaryOp, const Array&, const Array&, const Array&) override {}
  void compare(CompareOp, const Array&, const Array&, const Array&) override {}
  void choose(const Array&, const Array&, const Array&, const Array&) override {}
  void copy(const Array&, const Array&) override {}
  void fill(const Array&, double) override {}
  void sign_bits(const Array&, const Array&) override {}
  void keep_bits(const Array&, const Array&, const Array&) override {}
  void random(const RandomCall&, const Array&) override {}
  void dropout(const DropoutCall&, const Array&, const Array&) override {}
  void reduce(ReduceOp, const Array&, unsigned, double, const Array&) override {}
  void arg_max(const Array&, int, bool, const Array&) override {}
  void cumsum(const Array&, int, bool, const Array&) override {}
  void sort(const SortCall&) override {}
  void matmul(const MatmulCall&) override {}
  void conv(const ConvCall&) override {}
  void pool(const PoolProblem&, const Array&, const Array&, const Array&) override {}
  void pool_gradient(const PoolProblem&, const Array&, const Array&, const Array&) override {}
  void resample(const ResampleProblem&, const Array&, const Array&) override {}
  void resample_gradient(const ResampleProblem&, const Array&, const Array&) override {}
  void normalize(const NormalizeCall&) override {}
  void normalize_gradient(const NormalizeGradientCall&) override {}
  void row_norm(const RowNormCall&) override {}
  void row_norm_gradient(const RowNormGradientCall&) override {}
  void recurrent_step(const RecurrentCall&) override {}
  void recurrent_step_gradient(const RecurrentGradientCall&) override {}
  void softmax(const SoftmaxCall&, const Array&, const Array&) override {}
  void softmax_gradient(const SoftmaxCall&, const Array&, const Array&, const Array&) override {}
  void cross_entropy(const CrossEntropyCall&, const Array&, const Array&, const Array&) override {}
  void cross_entropy_gradient(const CrossEntropyCall&, const Array&, const Array&, const Array&,
                              const Array&) override {}
  std::optional<std::int64_t> first_bad_index(const Array&, std::int64_t, std::int64_t) override { return {}; }
  void gather(const Array&, int, const Array&, const Array&) override {}
  void scatter_add(const Array&, int, const Array&, const Array&) override {}
  void update(const UpdateCall&, std::span<const UpdateSlot>) override {}
  void unscale(std::span<const Array>, const Array&, const Array&) override {}
  void update_scale(const ScaleRule&, const Array&, const Array&, const Array&) override {}
  void norm(std::span<const Array>, double, const Array&) override {}

 private:
  bool is_gpu() const { return !name().starts_with("virtual:cpu"); }

  std::atomic<memory::StreamId> streams_{0};
};

/// The decisions of a GPU whose library has not been asked: convolutions without a workspace, marked as estimated;
/// the explicit `gemm` with its exact workspace.
std::shared_ptr<const Decisions> estimated_decisions();

}  // namespace mnemo
