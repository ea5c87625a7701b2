// Region: a part of a program that keeps only its inputs for backward. Its operations are recorded as ever, but what
// they save is not kept: it leaves a place, and the first closure that reads one has the region run again to fill them
// all. So gradients, hooks and accumulation are those of the plain run, bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <mnemo/autograd/saved.h>
#include <mnemo/autograd/surroundings.h>
#include <mnemo/autograd/tensor.h>

namespace mnemo {

/// See `checkpoint`.
struct CheckpointOptions {
  /// Operations whose outputs are kept, so that they are not computed again: conv1d, conv2d, conv3d (also those with a
  /// relu in them), linear, matmul.
  std::vector<std::string> keep = {};
};

class Region final : public std::enable_shared_from_this<Region> {
 public:
  using Body = std::function<void(std::span<const Tensor>)>;

  /// Saves the inputs, for the region around this one if there is one. Throws Error for an operation that cannot be
  /// kept.
  Region(const CheckpointOptions& options, std::span<const Tensor> inputs, Body body);

  /// The innermost one that runs on this thread, for the first time or again; or null.
  static Region* current();

  /// The first run has come to its end: from now on places can be read.
  void finish();
  bool is_finished() const { return finished_; }

  // For Saved.
  /// A place for what an operation saves; nothing while the region runs again, where the place is filled.
  std::optional<std::size_t> save(const Array& array);
  /// Runs the region again unless that was done. Throws what the region throws, and GradError when it does not do the
  /// same as the first time; then everything is as before.
  const Array& get(std::size_t place);
  void drop(std::size_t place) noexcept;

  // For operations.
  /// Whether the current operation's output is to be kept.
  bool keeps_output() const;
  /// What was kept of this output; undefined in the first run, and where it was changed in place since.
  Array kept();
  void keep(const Array& output);
  /// A choice that the surroundings made for an operation (training or evaluation): what it was in the first run.
  bool choice(bool now);
  /// An operation reads this. Throws GradError when it was changed in place between the two runs.
  void note_read(const Array& input);
  /// The same, and whether it takes part in differentiation; throws when that was otherwise.
  void note_part(const Array& input, bool takes_part);
  /// An operation reads a leaf: frozen or not, it is so again when the region runs again.
  void note_leaf(const NodeRef& leaf);

 private:
  friend class RegionScope;
  struct Input {
    Saved value;
    bool requires_grad, is_leaf;
  };
  /// What an operation saved in the first run, and its value once there is one again.
  struct Place {
    const char* op;
    Shape shape;
    DType dtype;
    std::uint32_t version;
    std::uint64_t random;  ///< where the program's stream stood
    bool dropped = false;
    Saved value = {};
  };
  struct Kept {
    Saved output;
    std::size_t places;  ///< how many there were when it was made
  };
  struct Stop {
    const Region* region;
  };
  struct Leaf {
    std::weak_ptr<Node> node;
    bool frozen;
  };
  class LeavesAsThen;

  void recompute();
  void replay();
  [[noreturn]] void fail_other(const std::string& what) const;

  Surroundings surroundings_;
  std::vector<std::string> keep_;
  std::vector<Input> inputs_;
  Body body_;
  std::vector<Place> places_;
  std::vector<Kept> kept_;
  std::vector<bool> choices_;
  std::vector<std::uint32_t> versions_;  ///< of what operations read
  std::vector<bool> parts_;              ///< whether their inputs took part in differentiation
  std::vector<Leaf> leaves_;             ///< that they read
  Region* outer_;                        ///< in the first run
  bool finished_ = false;

  // While it runs again: how many of each were met, and behind which place nothing more is needed.
  std::size_t place_ = 0, needed_ = 0, kept_at_ = 0, choice_ = 0, version_ = 0, part_ = 0;
};

/// Makes a region (or none) the current one of this thread until the end of the scope.
class RegionScope {
 public:
  explicit RegionScope(Region* region);
  ~RegionScope();
  RegionScope(const RegionScope&) = delete;
  RegionScope& operator=(const RegionScope&) = delete;

 private:
  Region* before_;
};

/// For an operation with a training mode: `training`, or what it was when this was run for the first time.
inline bool training_then(bool training) {
  Region* region = Region::current();
  return region ? region->choice(training) : training;
}

/// For an operation that is dear: its output, which a region may have kept. `compute` makes it.
template <class Compute>
Array output_of(Compute&& compute) {
  Region* region = Region::current();
  if (region == nullptr || !region->keeps_output()) return compute();
  Array output = region->kept();
  if (output.defined()) return output;
  output = compute();
  region->keep(output);
  return output;
}

}  // namespace mnemo
