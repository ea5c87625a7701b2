#include <mnemo/autograd/region.h>

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mnemo/core/error.h>

namespace mnemo {

namespace {

thread_local Region* current_region = nullptr;

/// The operations that ask `output_of`.
constexpr std::array<std::string_view, 5> kDear{"conv1d", "conv2d", "conv3d", "linear", "matmul"};

/// Stands for the operation that made an input, while the region runs again.
class InputNode final : public Node {
 public:
  bool is_leaf() const override { return false; }
};

/// The name of an operation without the relu that was joined to it: "conv2d" of "conv2d_relu".
std::string_view without_relu(std::string_view op) {
  constexpr std::string_view kJoined = "_relu";
  if (op.ends_with(kJoined)) op.remove_suffix(kJoined.size());
  return op;
}

}  // namespace

RegionScope::RegionScope(Region* region) : before_(current_region) { current_region = region; }
RegionScope::~RegionScope() { current_region = before_; }

Region* Region::current() { return current_region; }

Region::Region(const CheckpointOptions& options, std::span<const Tensor> inputs, Body body)
    : keep_(options.keep), body_(std::move(body)), outer_(current_region) {
  for (const std::string& op : keep_) {
    if (std::find(kDear.begin(), kDear.end(), op) == kDear.end())
      fail<Error>("checkpoint",
                  fmt::format("the output of \"{}\" cannot be kept; of {} it can", op, fmt::join(kDear, ", ")));
  }
  const memory::OpScope op("checkpoint");
  for (const Tensor& input : inputs) {
    inputs_.push_back({save_if(true, input.array()), input.requires_grad(), input.is_leaf()});
  }
}

void Region::finish() {
  // Behind the last place nothing runs again.
  while (!kept_.empty() && kept_.back().places == places_.size()) kept_.pop_back();
  outer_ = nullptr;
  finished_ = true;
}

std::optional<std::size_t> Region::save(const Array& array) {
  const char* op = memory::current_tag().op;
  if (!finished_) {
    places_.push_back({op, array.shape(), array.dtype(), array.storage()->version(), random_state().offset});
    return places_.size() - 1;
  }
  if (place_ >= needed_) throw Stop{this};
  Place& place = places_[place_];
  if (std::string_view(op) != place.op || !(array.shape() == place.shape) || array.dtype() != place.dtype) {
    fail_other(fmt::format("{} saves {} {}, where {} saved {} {}", op, name(array.dtype()), array.shape().text(),
                           place.op, name(place.dtype), place.shape.text()));
  }
  if (array.storage()->version() != place.version) {
    fail_other(fmt::format("what {} saves is at version {}, the first time it was at {}: it was changed in place", op,
                           array.storage()->version(), place.version));
  }
  if (random_state().offset != place.random) fail_other(fmt::format("before {} other random numbers were taken", op));
  if (!place.dropped && !place.value.defined()) place.value = Saved(array, Saved::Itself());
  if (++place_ == needed_) throw Stop{this};
  return std::nullopt;
}

const Array& Region::get(std::size_t place) {
  if (!finished_) fail<GradError>("checkpoint", "backward cannot run inside the function that is checkpointed");
  if (!places_[place].value.defined()) recompute();
  return places_[place].value.get();
}

void Region::drop(std::size_t place) noexcept {
  places_[place].dropped = true;
  places_[place].value = {};
}

bool Region::keeps_output() const {
  return std::find(keep_.begin(), keep_.end(), without_relu(memory::current_tag().op)) != keep_.end();
}

Array Region::kept() {
  if (!finished_ || kept_at_ >= kept_.size()) return {};
  const Saved& output = kept_[kept_at_++].output;
  return output.is_current() ? output.get() : Array();
}

void Region::keep(const Array& output) {
  if (finished_) return;
  const RegionScope outside(outer_);
  kept_.push_back({Saved(output), places_.size()});
}

bool Region::choice(bool now) {
  if (!finished_) {
    choices_.push_back(now);
    return now;
  }
  if (choice_ >= choices_.size()) fail_other("more operations run");
  return choices_[choice_++];
}

void Region::note_read(const Array& input) {
  const std::uint32_t version = input.storage()->version();
  if (!finished_) {
    versions_.push_back(version);
    return;
  }
  if (version_ >= versions_.size()) fail_other("more operations run");
  if (const std::uint32_t then = versions_[version_++]; version != then) {
    fail_other(
        fmt::format("{} reads {} {} at version {}, the first time it was at {}: it was changed in place before "
                    "backward()",
                    memory::current_tag().op, name(input.dtype()), input.shape().text(), version, then));
  }
}

void Region::note_part(const Array& input, bool takes_part) {
  note_read(input);
  if (!finished_) {
    parts_.push_back(takes_part);
    return;
  }
  if (part_ >= parts_.size()) fail_other("more operations run");
  if (parts_[part_++] == takes_part) return;
  fail_other(fmt::format("{} reads {} {}, which {} a gradient now, and the first time it {}", memory::current_tag().op,
                         name(input.dtype()), input.shape().text(), takes_part ? "requires" : "does not require",
                         takes_part ? "did not" : "did"));
}

void Region::note_leaf(const NodeRef& leaf) {
  if (!finished_) leaves_.push_back({leaf, leaf->frozen});
}

/// Which leaves take part, as in the first run, until the end of the scope.
class Region::LeavesAsThen {
 public:
  explicit LeavesAsThen(const std::vector<Leaf>& leaves) {
    for (const Leaf& leaf : leaves) {
      const NodeRef node = leaf.node.lock();
      if (node == nullptr || node->frozen == leaf.frozen) continue;
      node->frozen = leaf.frozen;
      changed_.push_back(node);
    }
  }
  ~LeavesAsThen() {
    for (const NodeRef& node : changed_) node->frozen = !node->frozen;
  }
  LeavesAsThen(const LeavesAsThen&) = delete;
  LeavesAsThen& operator=(const LeavesAsThen&) = delete;

 private:
  std::vector<NodeRef> changed_;
};

void Region::fail_other(const std::string& what) const {
  fail<GradError>("checkpoint",
                  fmt::format("the recomputation does not do what the first run did: {}; the function must do the same "
                              "whenever it is called with the same inputs",
                              what));
}

void Region::recompute() {
  needed_ = 0;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (!places_[i].dropped) needed_ = i + 1;
  }
  place_ = kept_at_ = choice_ = version_ = part_ = 0;
  try {
    replay();
  } catch (...) {
    for (Place& place : places_) place.value = {};
    throw;
  }
  body_ = nullptr;
  inputs_.clear();
  kept_.clear();
  leaves_.clear();
}

void Region::replay() {
  const memory::OpScope op("checkpoint");
  std::vector<Tensor> inputs;
  for (const Input& input : inputs_) {
    if (!input.value.defined()) {
      inputs.emplace_back();
    } else if (!input.requires_grad) {
      inputs.emplace_back(input.value.get());
    } else if (input.is_leaf) {
      inputs.emplace_back(Array(input.value.get()), std::make_shared<Node>());
    } else {  // autocast keeps the casts of leaves alone
      inputs.emplace_back(Array(input.value.get()), std::make_shared<InputNode>());
    }
  }
  const SurroundingsScope then(surroundings_);
  const LeavesAsThen leaves(leaves_);
  const RecomputingScope recomputing;
  const RegionScope region(this);
  try {
    body_(inputs);
  } catch (const Stop& stop) {
    if (stop.region != this) throw;
  }
  if (place_ < needed_) fail_other(fmt::format("it saves {} arrays, the first time {}", place_, places_.size()));
}

}  // namespace mnemo
