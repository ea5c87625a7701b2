#include "labs/row.h"

#include <algorithm>

namespace mnemo::labs {

namespace {

std::string as_named(const std::string& device) { return device; }

}  // namespace

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::holds:
      return "true";
    case Verdict::fails:
      return "false";
    case Verdict::depends:
      break;
  }
  return "depends";
}

bool Row::agrees() const {
  return std::all_of(figures.begin(), figures.end(), [](const Figure& figure) { return figure.agrees(); });
}

std::string depending(Verdict verdict, const char* on_what) {
  return verdict == Verdict::depends ? std::string(on_what) + ": " : std::string();
}

std::string shape_only(const std::string& device) { return device.starts_with("cpu") ? "virtual:" + device : device; }

const Card* card_of(const std::string& device) {
  const std::string prefix = "virtual:";
  if (!device.starts_with(prefix)) return nullptr;
  const std::size_t end = std::min(device.find_first_of(":,", prefix.size()), device.size());
  return find_card(device.substr(prefix.size(), end - prefix.size()));
}

const std::vector<Lab>& labs() {
  static const std::vector<Lab> all{
      {"batch-size", "What the batch size does to memory: claims E1 to E6 and A2.", as_named, batch_size_lab},
      {"resolution", "What resolution, padding, batch and kernel size do to a convolution's memory: claims A1 to A5.",
       as_named, resolution_lab},
      {"reported", "What users of PyTorch reported of convolutions on an A100 80GB, reproduced.", reported_place,
       reported_lab},
      {"checkpoint", "What checkpoints spare in each model, and what they cost: claims K1 to K4.", as_named,
       checkpoint_lab},
      {"conv1d", "What pooling, separable convolutions and checkpoints spare in Conv1d layers: claims C1 to C3.",
       as_named, conv1d_lab},
      {"network-size", "What the size of a network, its precision and its batch do to memory: claims B1 to B6.",
       as_named, network_size_lab},
      {"initialization", "What exists when a model is made, and what comes later: claims D1 to D5.", as_named,
       initialization_lab},
  };
  return all;
}

}  // namespace mnemo::labs
