// Claim B6: what a driver's tool shows of a training, and the largest batch that fits.
#include <algorithm>

#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/network_size.h"
#include "training/fitting.h"
#include "training/parity.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;

const models::Spec& network() { return *models::find_spec("larger-conv-network"); }

training::RunPlan adam_run() {
  return {.spec = network(), .training = {.rule = training::Rule::adam}, .size = network().size};
}

/// The virtual device that decides as this one does, with so little memory that every batch size can be tried.
std::string with_little_memory(const std::string& device) {
  const std::string place = training::required_twin(Device::open(shape_only(device), {}));
  if (place.starts_with("virtual:cpu")) return "virtual:cpu:512MiB";
  const Card* card = card_of(place);
  return card == nullptr ? "virtual:512MiB" : fmt::format("virtual:{},768MiB", card->name);
}

/// What nvidia-smi shows of the process: all that the device has not left.
Bytes shown(const Device& device) {
  const memory::Source& source = device.allocator().source();
  return source.capacity() - source.free_bytes();
}

struct Run {
  Bytes shown = 0, reserved = 0, allocated = 0;  ///< after it; at its peak
  std::int64_t failures = 0;                     ///< OutOfMemory
};

/// Two training steps of each batch in turn, on one fresh device.
Run run(const std::string& name, const std::vector<std::int64_t>& batches) {
  const Device device = open_device(name, {});
  const DeviceScope here(device);
  Run result;
  try {
    training::Trainer trainer(network(), training::Rule::adam);
    for (const std::int64_t batch : batches) {
      trainer.step(batch, network().size);
      result.allocated = trainer.step(batch, network().size).peak.allocated;
    }
    result.shown = shown(device);
    result.reserved = device.allocator().reserved();
  } catch (const OutOfMemory&) {
    ++result.failures;
  }
  return result;
}

}  // namespace

Row largest_batch_row(const std::string& device_name) {
  Row row{.claim = "B6",
          .statement = "nvidia-smi, watched while the batch is raised, tells what a batch needs.",
          .figures = {},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const std::string place = with_little_memory(device_name);
  const Device device = open_device(place, {});
  const Bytes capacity = device.allocator().source().capacity();
  const Bytes context = device.allocator().source().context_bytes();
  const FittingBatches found = fitting_batches(
      {.device = place, .config = {}}, [](std::int64_t batch) { training::train(adam_run(), {.batch = batch}); });
  const std::int64_t largest = found.largest();
  row.figures.push_back({"capacity of " + place, {}, capacity});
  row.figures.push_back({"context and libraries", {}, context});
  const auto add = [&](const std::string& what, const std::vector<std::int64_t>& batches) {
    const Run one = run(place, batches);
    row.figures.push_back({"nvidia-smi shows after " + what, context + one.reserved, one.shown});
    row.figures.push_back({"context and what was allocated at most, " + what, {}, context + one.allocated});
    return one;
  };
  const Run alone = add("batch 64 alone", {64});
  const Run raised = add("batch 64 behind 1, 2, 4, 8, 16, 32", {1, 2, 4, 8, 16, 32, 64});
  const Run full = add("the largest batch alone", {largest});
  const Run lowered = add("batch 64 behind the largest", {largest, 64});
  const Run more = run(place, {largest + 1});
  row.figures.push_back({"largest batch that fits, by dry runs (count)", {}, largest});
  row.figures.push_back({"dry runs (count)", {}, found.dry_runs});
  row.figures.push_back({"out-of-memory errors at that batch (count)", 0, full.failures});
  row.figures.push_back({"out-of-memory errors at one image more (count)", 1, more.failures});

  const std::vector<Run> same{alone, raised, lowered};  // the same batch, three times
  const auto all = [&](const auto& says) { return std::all_of(same.begin(), same.end(), says); };
  const bool exact = all([&](const Run& one) { return one.shown == context + one.allocated; });
  const bool enough = all([&](const Run& one) { return one.shown >= context + one.allocated; });
  row.verdict = exact ? Verdict::holds : enough ? Verdict::depends : Verdict::fails;
  row.because =
      depending(row.verdict, "on what ran before") +
      fmt::format(
          "batch 64 needs {} at its peak, with the context; {} are shown when it runs alone, {} behind smaller batches "
          "and {} behind the largest. That one, {}, was found by {} dry runs without one crash: it {}, and {} {}",
          format_bytes(context + alone.allocated), format_bytes(alone.shown), format_bytes(raised.shown),
          format_bytes(lowered.shown), largest, found.dry_runs, full.failures == 0 ? "fits" : "does not fit",
          largest + 1, more.failures == 1 ? "does not" : "does as well");
  row.mechanism =
      "a driver's tool shows the context and every segment that the allocator has reserved: at least what is "
      "allocated. Segments come in steps of 2 MiB and more, and stay reserved for later tensors when theirs are gone. "
      "What fits is decided by segments too: `mnemo fit` runs the program without arithmetic against the same "
      "allocator";
  return row;
}

}  // namespace mnemo::labs
