// AdvisedBlocks: the blocks that single measures are about, followed from event to event.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include <mnemo/memory/layer_notes.h>
#include <mnemo/memory/timeline.h>

namespace mnemo::memory {

class AdvisedBlocks {
 public:
  enum class Kind : std::uint8_t {
    convolution,  ///< workspace of an op of which the recording has plans
    moment,       ///< optimizer state in the parameter's precision, or in the float32 that its copy has
    copy,         ///< of a half parameter, in float32: as large as two of it, and made before its moments
    code,         ///< any other optimizer state, such as moments in 8 bits
    none,
  };

  /// Begins with what is alive where the timeline stands. The notes must stay.
  AdvisedBlocks(const Timeline& timeline, const LayerNotes& notes);

  void follow(const Event& event);
  /// Of all blocks of that kind. Bytes.
  Bytes of(Kind kind) const { return bytes_[static_cast<std::size_t>(kind)]; }

 private:
  using Size = std::pair<std::string, Bytes>;  // module, requested

  void add(std::uint64_t position, Bytes size, Bytes requested, const Tag& tag);
  void remove(std::uint64_t position);
  Kind kind_of(Bytes requested, const Tag& tag) const;
  std::int64_t parameters_of(const Size& size) const;

  struct Part {
    Kind kind;
    Bytes bytes;
    Size size;
    bool is_parameter;
  };
  const LayerNotes& notes_;
  std::array<Bytes, 5> bytes_{};
  std::map<Size, std::int64_t> parameters_, copies_;  // how many there are
  std::unordered_map<std::uint64_t, Part> parts_;
};

}  // namespace mnemo::memory
