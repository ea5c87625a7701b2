#include "labs/row.h"

#include <algorithm>

namespace mnemo::labs {

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

const std::vector<Lab>& labs() {
  static const std::vector<Lab> all{
      {"batch-size", "What the batch size does to memory: claims E1 to E3 and A2.", batch_size_lab},
      {"resolution", "What resolution, padding, batch and kernel size do to a 3-D convolution: claims A1 to A3.",
       resolution_lab},
  };
  return all;
}

}  // namespace mnemo::labs
