#include <mnemo/autograd/step_graph.h>

#include <optional>

#include <fmt/format.h>

#include <mnemo/autograd/autocast.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo {

/// One list of shapes.
struct StepGraph::Entry {
  std::vector<Tensor> inputs;  ///< where the step reads them
  std::unique_ptr<Capture> capture;
  Tensor result;
  bool has_run = false;
  std::optional<Stream> last_caller;  ///< in whose stream the latest run is, if it was one of these shapes
};

namespace {

/// Shapes and dtypes as one list of numbers.
std::vector<std::int64_t> key_of(std::span<const Tensor> inputs) {
  std::vector<std::int64_t> key;
  for (const Tensor& input : inputs) {
    key.push_back(static_cast<std::int64_t>(input.dtype()));
    key.push_back(input.shape().rank());
    for (const std::int64_t size : input.shape()) key.push_back(size);
  }
  return key;
}

}  // namespace

StepGraph::StepGraph(const Device& device) : stream_(device) {
  if (device.backend().can_capture()) device.allocator().keep(stream_.id(), true);
}

StepGraph::~StepGraph() {
  const Device device = stream_.device();
  if (!device.backend().can_capture()) return;
  try {
    device.backend().synchronize();  // the device may be reading what is freed
  } catch (const Error&) {           // whose context is lost reads nothing any more
  }
  entries_.clear();
  device.allocator().keep(stream_.id(), false);
}

std::size_t StepGraph::recorded() const {
  std::size_t count = 0;
  for (const auto& [key, entry] : entries_) count += entry->capture != nullptr ? 1 : 0;
  return count;
}

StepGraph::Entry& StepGraph::entry_for(std::span<const Tensor> inputs) {
  for (const Tensor& input : inputs) {
    if (input.device() == stream_.device()) continue;
    fail<DeviceError>("StepGraph",
                      fmt::format("the input {} lies on {}, and the graph is one of {}; move it with to(x, device)",
                                  input.shape().text(), input.device().name(), stream_.device().name()));
  }
  std::unique_ptr<Entry>& entry = entries_[key_of(inputs)];
  if (!entry) {
    auto made = std::make_unique<Entry>();
    const memory::CategoryScope category(memory::Category::input);
    for (const Tensor& input : inputs)
      made->inputs.emplace_back(Array(input.shape(), input.dtype(), input.device()), false);
    entry = std::move(made);
  }
  return *entry;
}

/// Records the step if need be, and queues the recorded work.
void StepGraph::repeat(Entry& entry, const Step& step) {
  if (!entry.capture || !entry.capture->is_repeatable()) {
    // What the plain run left in the cache would be reserved beside what the recording takes for the same.
    stream_.device().allocator().empty_cache();
    const StreamScope scope(stream_);
    auto capture = std::make_unique<Capture>(stream_.device());
    // Half copies of the parameters must be made anew with every repetition, and must not be kept from this one.
    const FreshCopies copies;
    capture->record([&] { entry.result = step(entry.inputs); });
    entry.capture = std::move(capture);
  }
  entry.capture->repeat();
}

Tensor StepGraph::run(std::span<const Tensor> inputs, const Step& step) {
  if (!stream_.device().backend().can_capture()) return step(inputs);
  Entry& entry = entry_for(inputs);
  // All runs are in their callers' streams, where nothing has to wait for another stream: the recording's own is but
  // the owner of what is in its memory.
  const Stream caller(stream_.device());
  for (auto& [key, other] : entries_) {
    if (other->last_caller && !(*other->last_caller == caller)) caller.wait_for(*other->last_caller);
    other->last_caller.reset();
  }
  entry.last_caller = caller;
  for (std::size_t i = 0; i < inputs.size(); ++i) copy_into(inputs[i].array(), entry.inputs[i].array());
  if (!entry.has_run) {
    // Libraries load and optimizers make their state: nothing of that can be recorded, and what stays must not lie
    // where another recording puts what it needs for a moment. So this run is in the caller's stream.
    const Capture::Rehearsal rehearsal;
    entry.result = step(entry.inputs);
    entry.has_run = true;
    return entry.result;
  }
  repeat(entry, step);
  return entry.result;
}

}  // namespace mnemo
