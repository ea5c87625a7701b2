#include <mnemo/autograd/transaction.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

namespace {

thread_local Transaction* innermost = nullptr;

/// All of its memory, whatever part of it the array is: what is swapped back must be complete.
Array copy_of(const Array& array) {
  const std::int64_t count = array.storage()->bytes() / static_cast<std::int64_t>(size_of(array.dtype()));
  const Array whole(array.storage(), Layout::contiguous({count}), array.dtype());
  Array copy = Array::like(whole);
  copy_into(whole, copy);
  return copy;
}

}  // namespace

Transaction::Transaction(const std::vector<Tensor>& parameters, const std::vector<Tensor>& buffers)
    : random_(random_state()) {
  for (const Tensor& parameter : parameters) {
    if (!parameter.requires_grad() || !parameter.node()->consumer) continue;
    fail<GradError>("transaction", fmt::format("parameter {} is updated during backward, which cannot be taken back; "
                                               "use the optimizer's step() in transactions",
                                               parameter.shape().text()));
  }
  const memory::OpScope op("transaction");
  const memory::CategoryScope category(memory::Category::other);
  for (const Tensor& parameter : parameters) {
    if (parameter.requires_grad()) leaves_.push_back({parameter.node(), parameter.node()->grad});
  }
  for (const Tensor& buffer : buffers) {
    if (buffer.defined()) buffers_.push_back({buffer.array(), copy_of(buffer.array())});
  }
  outer_ = std::exchange(innermost, this);
}

Transaction::~Transaction() {
  innermost = outer_;
  if (committed_) return;
  for (auto undo = undos_.rbegin(); undo != undos_.rend(); ++undo) (*undo)();
  for (Leaf& leaf : leaves_) leaf.node->grad = std::move(leaf.before);
  for (Buffer& buffer : buffers_) buffer.array.storage()->swap_contents(*buffer.before.storage());
  set_random_state(random_);
}

void Transaction::commit() noexcept {
  committed_ = true;
  leaves_.clear();
  buffers_.clear();
  if (outer_ != nullptr && !outer_->committed_) outer_->undos_.splice(outer_->undos_.end(), undos_);
  undos_.clear();
}

void Transaction::on_rollback(std::function<void()> undo) {
  Transaction* transaction = innermost;
  while (transaction != nullptr && transaction->committed_) transaction = transaction->outer_;
  if (transaction != nullptr) transaction->undos_.push_back(std::move(undo));
}

void Transaction::commit_all() noexcept {
  for (Transaction* each = innermost; each != nullptr; each = each->outer_) each->commit();
}

bool Transaction::holds(const Array& gradient) noexcept {
  for (const Transaction* each = innermost; each != nullptr; each = each->outer_) {
    const bool held = std::any_of(each->leaves_.begin(), each->leaves_.end(), [&](const Leaf& leaf) {
      return leaf.before.defined() && leaf.before.storage() == gradient.storage();
    });
    if (held) return true;
  }
  return false;
}

}  // namespace mnemo
