// What cuDNN must be told of a card that is not there, one file per card in cuda/cards/, built into the library.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mnemo::cuda {

struct CardProperties {
  /// Where some of the values come from.
  struct Source {
    std::vector<std::string> members;
    std::string marked;  ///< "from a device", "from public figures" or "assumed"
    std::string text;
  };

  std::string name;    ///< as in "virtual:NAME"
  int capability = 0;  ///< compute capability times ten: 90 is 9.0
  std::string json;    ///< one object with the members that the library asks for
  std::vector<Source> sources;
};

/// Reads a card file; `origin` names it in errors. Throws FileError that says what is wrong with which member.
CardProperties parse_card(std::string_view text, const std::string& origin);

/// The cards that are built in, by name.
std::span<const CardProperties> card_properties();
/// The card of that name, or nullptr.
const CardProperties* find_card_properties(std::string_view name);

/// "9.0" of 90.
std::string capability_text(int capability);

}  // namespace mnemo::cuda
