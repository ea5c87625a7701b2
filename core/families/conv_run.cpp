#include <mnemo/core/families/conv_run.h>

#include <algorithm>
#include <utility>

#include <mnemo/core/families.h>
#include <mnemo/core/families/workspace.h>
#include <mnemo/core/notes.h>
#include <mnemo/core/planning/conv_split.h>
#include <mnemo/core/planning/conv_trace.h>
#include <mnemo/core/planning/latest_plans.h>
#include <mnemo/core/work.h>
#include <mnemo/core/workspace_limits.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

namespace {

/// Runs one piece. The weight gradients of all pieces add up: the first is written, the others come from a temporary.
void run_piece(ConvCall& piece, const Array& whole_gradient, bool first, const Device& device) {
  if (piece.pass != ConvPass::weight_gradient || first) return run_conv(piece, device);
  piece.w = Array::like(whole_gradient);
  run_conv(piece, device);
  map_into(BinaryOp::add, whole_gradient, piece.w, whole_gradient);
}

void run_by_batch(const ConvCall& call, std::int64_t step, const Device& device) {
  for (std::int64_t begin = 0; begin < call.problem.batch; begin += step) {
    const std::int64_t end = std::min(begin + step, call.problem.batch);
    ConvCall piece = call;
    piece.problem.batch = end - begin;
    piece.x = call.x.slice(0, begin, end);
    piece.y = call.y.slice(0, begin, end);
    run_piece(piece, call.w, begin == 0, device);
  }
}

/// A slice of the first spatial axis for a piece to write: in place where that is dense in the layout (always so with
/// the channels innermost, for one image), else by way of a temporary, which `finish` copies.
class Destination {
 public:
  Destination(const Array& whole, std::int64_t begin, std::int64_t end, ConvLayout layout)
      : slice_(whole.slice(2, begin, end)) {
    const bool dense = layout == ConvLayout::channels_last ? slice_.is_channels_last() : slice_.is_contiguous();
    target_ = dense ? slice_ : Array(slice_.shape(), slice_.dtype(), slice_.device());
  }

  const Array& target() const { return target_; }
  void finish() const {
    if (!(target_.storage() == slice_.storage())) copy_into(target_, slice_);
  }

 private:
  Array slice_, target_;
};

// REQUIRES: a batch of one image.
void run_by_depth(const ConvCall& call, std::int64_t step, const Device& device) {
  const auto axis = static_cast<std::size_t>(3 - call.problem.spatial_rank);
  const bool cuts_input = call.pass == ConvPass::data_gradient;
  const std::int64_t size = cuts_input ? call.problem.in[axis] : call.problem.out[axis];
  for (std::int64_t begin = 0; begin < size; begin = next_piece(call.problem, call.pass, begin, step)) {
    const ConvPiece cut = depth_piece(call.problem, call.pass, begin, step);
    ConvCall piece = call;
    piece.problem = cut.problem;
    const Array x = call.x.slice(2, cut.in_begin, cut.in_end), y = call.y.slice(2, cut.out_begin, cut.out_end);
    if (call.pass == ConvPass::weight_gradient) {
      piece.x = in_layout(x, call.layout);
      piece.y = in_layout(y, call.layout);
      run_piece(piece, call.w, begin == 0, device);
    } else if (call.pass == ConvPass::forward) {
      const Destination to(call.y, cut.out_begin, cut.out_end, call.layout);
      piece.x = in_layout(x, call.layout);
      piece.y = to.target();
      run_conv(piece, device);
      to.finish();
    } else if (cut.out_begin == cut.out_end) {
      fill(x, 0);  // no window reaches these inputs
    } else {
      const Destination to(call.x, cut.in_begin, cut.in_end, call.layout);
      piece.y = in_layout(y, call.layout);
      piece.x = to.target();
      run_conv(piece, device);
      to.finish();
    }
  }
}

/// The library's engines read and write at multiples of 16 bytes, which is what they are told; blocks begin at such.
bool is_aligned(const Array& array) { return array.layout().offset * size_of(array.dtype()) % 16 == 0; }

Array copied(const Array& array) {
  const Array copy = Array::like(array);
  copy_into(array, copy);
  return copy;
}

Array& written(ConvCall& call) {
  if (call.pass == ConvPass::forward) return call.y;
  return call.pass == ConvPass::data_gradient ? call.x : call.w;
}

/// An engine of the library, by way of copies where an operand lies between multiples of 16 bytes.
void run_engine(ConvCall& call, Backend& backend) {
  Array& result = written(call);
  for (Array* operand : {&call.x, &call.w, &call.y, &call.bias}) {
    if (operand->defined() && operand != &result && !is_aligned(*operand)) *operand = copied(*operand);
  }
  if (is_aligned(result)) return backend.conv(call);
  const Array target = std::exchange(result, Array::like(result));
  backend.conv(call);
  copy_into(result, target);
  result = target;
}

/// The same in every pass.
std::int64_t multiplications(const ConvProblem& p) {
  std::int64_t count = p.batch * p.out_channels * (p.in_channels / p.groups);
  for (std::size_t axis = 0; axis < 3; ++axis) count *= p.out[axis] * p.kernel[axis];
  return count;
}

/// By the policy, and within the limit of the layer that is running.
ConvPlan plan_of(const ConvCall& call, const Decisions& decisions, LatestPlans* plans) {
  const auto under = [&](const ConvPolicy& policy) {
    return plans != nullptr ? plans->plan(decisions, call.problem, call.pass, policy)
                            : decisions.conv(call.problem, call.pass, policy);
  };
  const ConvPolicy& policy = conv_policy();
  const std::optional<memory::Bytes> limit = workspace_limits().of(memory::current_tag().module);
  if (!limit || *limit >= policy.workspace_limit) return under(policy);
  ConvPolicy limited = policy;
  limited.workspace_limit = *limit;
  return under(limited);
}

}  // namespace

void run_conv(ConvCall& call, const Device& device, LatestPlans* plans) {
  Backend& backend = device.backend();
  call.plan = plan_of(call, backend.decisions(), plans);
  if (call.plan.algorithm == ConvAlgorithm::split) {
    if (call.plan.axis == ConvPlan::Axis::batch) return run_by_batch(call, call.plan.step, device);
    return run_by_depth(call, call.plan.step, device);
  }
  backend.count(call.plan);
  ConvTrace::note(call);
  count_products(2 * multiplications(call.problem));
  note_plan(call.pass, call.plan, device);
  call.workspace = new_workspace(call.plan.workspace, device);
  if (call.plan.algorithm == ConvAlgorithm::library) return run_engine(call, backend);
  backend.conv(call);
}

}  // namespace mnemo
