// LayerNotes: what a recording's markers say about layers: the shape of an op's
// output and the plans of convolutions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mnemo/memory/recording.h>

namespace mnemo::memory {

/// "output conv2d (8, 64, 112, 112) float32"
struct OutputNote {
  std::string shape;  ///< "(8, 64, 112, 112)"
  std::string dtype;
  Bytes bytes = 0;      ///< what the shape and the dtype make; 0 where they make no number
  std::string formula;  ///< "8*64*112*112*4 B = 25,690,112"; empty with that
  Bytes measured = 0;   ///< the block of just that many requested bytes that the
                        ///< op had; 0: none was seen
};

/// "plan conv2d forward eng46_k2=0 17563664"
struct PlanNote {
  std::string pass;
  std::string algorithm;
  Bytes workspace = 0;
};

/// Module and op.
using LayerName = std::pair<std::string, std::string>;

/// What the markers up to some event said last.
class LayerNotes {
 public:
  struct Notes {
    std::optional<OutputNote> output;
    std::vector<PlanNote> plans;  ///< one per pass
  };

  /// Reads the markers up to event `last`, and from the later ones what was not
  /// said until then. Markers of any other kind are passed over.
  LayerNotes(const Recording& recording, std::int64_t last);

  /// In the order in which they were first spoken of.
  const std::vector<LayerName>& layers() const { return layers_; }
  /// Empty notes for a layer of which nothing was said.
  const Notes& of(const LayerName& layer) const;
  /// The plan whose workspace has that many bytes; null without one.
  const PlanNote* plan_with(const LayerName& layer, Bytes workspace) const;
  const PlanNote* plan_of(const LayerName& layer, std::string_view pass) const;

 private:
  Notes& notes_of(const LayerName& layer);

  std::vector<LayerName> layers_;
  std::map<LayerName, Notes> notes_;
};

/// The parts of a note; nothing for a marker that is none.
struct ParsedOutput {
  std::string op;
  OutputNote note;
};
struct ParsedPlan {
  std::string op;
  PlanNote note;
};
std::optional<ParsedOutput> parse_output_note(std::string_view marker);
std::optional<ParsedPlan> parse_plan_note(std::string_view marker);

}  // namespace mnemo::memory
