// Transaction: a training step that happens as a whole or leaves no trace.
//
//   try {
//     const Transaction step = nn::transaction(model);
//     cross_entropy(model(images), labels).backward();
//     optimizer.step();  // it has happened
//   } catch (const OutOfMemory& error) {
//     // everything is as before: the step can be tried again here, in smaller parts
//   }
#pragma once

#include <functional>
#include <list>
#include <vector>

#include <mnemo/autograd/tensor.h>
#include <mnemo/core/random.h>

namespace mnemo {

/// While it lives, what a step changes before its optimizer does can be taken back: gradients, buffers (the running
/// statistics of batch normalization) and the random numbers' place. Destroyed without having been committed, as an
/// exception does, it puts them back, without allocating anything. An optimizer's step allocates all that it needs
/// before it changes anything, and commits every transaction of its thread, so parameters, optimizer states and step
/// counts need no copies.
///
/// It costs a copy of the buffers, and, where gradients are accumulated, the gradients from before: additions to them
/// make new ones. Gradients that are dropped by zero_grad stay dropped: do that before the transaction.
/// Transactions belong to their thread and nest.
class Transaction {
 public:
  /// Throws OutOfMemory when there is no room for the buffers' copies, and GradError for a parameter that is updated
  /// during backward; undefined tensors are passed over.
  explicit Transaction(const std::vector<Tensor>& parameters, const std::vector<Tensor>& buffers = {});
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  /// Lets everything stay as it is; nothing happens the second time.
  void commit() noexcept;
  /// Commits every transaction of this thread.
  static void commit_all() noexcept;
  /// Calls `undo` if this thread's innermost transaction is taken back, the latest one first; without a transaction
  /// nothing happens. It is for state of other kinds: it must not throw, and what it refers to must outlive the
  /// transaction.
  static void on_rollback(std::function<void()> undo);
  /// Whether a transaction of this thread may put `gradient` back, so that it must not be written to.
  static bool holds(const Array& gradient) noexcept;

 private:
  struct Leaf {
    NodeRef node;
    Array before;  ///< its gradient; undefined: none
  };
  struct Buffer {
    Array array;
    Array before;
  };

  bool committed_ = false;
  RandomState random_;
  std::vector<Leaf> leaves_;
  std::vector<Buffer> buffers_;
  std::list<std::function<void()>> undos_;
  Transaction* outer_ = nullptr;
};

}  // namespace mnemo
