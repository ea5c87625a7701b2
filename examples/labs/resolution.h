// The rows of the resolution lab that stand in files of their own: claim A4, each cause alone and all together, and A5.
#pragma once

#include <string>

#include "labs/layer.h"
#include "labs/row.h"

namespace mnemo::labs {

// A4, one cause at a time.
Row activations_row(const std::string& device);
Row padding_share_row(const std::string& device);
Row workspace_row(const std::string& device);
Row cached_blocks_row(const std::string& device);
/// A4, all causes together: searches for two resolutions of which the lower one has the higher peak.
Row whole_step_row(const std::string& device);
/// A5.
Row categories_row(const std::string& device);

/// The library's favourite engine, TF32 allowed: with contiguous arrays what PyTorch takes without benchmark mode. On a
/// CPU mnemo's own choice.
ConvPolicy favourite(std::optional<ConvLayout> layout = {});

/// "eng34_k2=0" of a library, "direct" or "gemm" of mnemo's own algorithms, "estimated" where nobody can tell.
std::string engine_text(const ConvPlan& plan);
/// "weight gradient"
std::string pass_text(ConvPass pass);

}  // namespace mnemo::labs
