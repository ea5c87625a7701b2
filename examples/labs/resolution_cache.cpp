// Claim A4, the cause that outlives a step: blocks that an earlier, larger shape has left in the allocator's cache.
#include <fmt/format.h>

#include "labs/arithmetic.h"
#include "labs/resolution.h"
#include "models/layer.h"

namespace mnemo::labs {

namespace {

using memory::Bytes;
using memory::format_bytes;

struct Holding {
  Bytes allocated = 0, reserved = 0;
};

/// Forward passes at these sizes in one process, one after the other: what is held with the output of the last one.
Holding run_forward(const LayerCase& layer, std::initializer_list<std::int64_t> sizes, const std::string& name) {
  const Device device = open_device(name, {});
  const DeviceScope scope(device);
  manual_seed(0);
  const models::Spec spec = models::layer_spec(layer.text());
  const auto model = spec.make();
  Holding holding;
  for (const std::int64_t size : sizes) {
    const models::Batch batch = models::random_batch(spec, layer.batch, size);
    const Tensor output = model->forward(batch.input);
    holding = {device.allocator().allocated(), device.allocator().reserved()};
  }
  return holding;
}

}  // namespace

Row cached_blocks_row(const std::string& device) {
  const LayerCase low{.padding = 1, .size = 32}, high = low.at(64);
  const Device deciding = open_device(device, {});
  const LayerFormula at_low(low, deciding), at_high(high, deciding);
  const auto held = [](const LayerFormula& formula) {
    return formula.parameters() + formula.input() + formula.output();
  };
  const Holding alone = run_forward(low, {low.size}, device), large = run_forward(high, {high.size}, device),
                after = run_forward(low, {high.size, low.size}, device);
  Row row{.claim = "A4d",
          .statement = "A lower resolution can use more memory through blocks cached for an earlier shape alone.",
          .figures = {{"allocated, 32^3 in a fresh process", held(at_low), alone.allocated},
                      {"allocated, 64^3 in a fresh process", held(at_high), large.allocated},
                      {"allocated, 32^3 after 64^3 in one process", held(at_low), after.allocated},
                      {"reserved, 32^3 in a fresh process", at_low.reserved(), alone.reserved},
                      {"reserved, 64^3 in a fresh process", at_high.reserved(), large.reserved},
                      {"reserved, 32^3 after 64^3 in one process", at_high.reserved(), after.reserved}},
          .verdict = Verdict::depends,
          .because = {},
          .mechanism = {}};
  const bool stays = after.reserved > alone.reserved, same = after.allocated <= large.allocated;
  row.verdict = stays && same ? Verdict::depends : stays ? Verdict::holds : Verdict::fails;
  row.because = fmt::format(
      "on what is read: after 64^3 the same forward pass at 32^3 {} ({}, {} of what it takes alone), while allocated "
      "{}",
      stays ? "keeps " + format_bytes(after.reserved) + " reserved" : "reserves no more",
      after.reserved == large.reserved ? "what 64^3 had reserved" : "not what 64^3 had reserved",
      times(after.reserved, alone.reserved),
      after.allocated == alone.allocated ? "is that of a fresh process" : "is more by unsplit remainders");
  row.mechanism =
      "freed blocks stay in the allocator's cache, and nvidia-smi counts reserved. empty_cache, or a process of its "
      "own for every measurement, takes this cause away";
  return row;
}

}  // namespace mnemo::labs
