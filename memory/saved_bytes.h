// SavedBytes: how many bytes each layer holds for backward, followed from event
// to event.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include <mnemo/memory/timeline.h>

namespace mnemo::memory {

/// Saved activations, added up by whatever `key` makes of their tags.
class SavedBytes {
 public:
  using Key = std::pair<std::string, std::string>;
  using Totals = std::map<Key, Bytes>;

  /// Begins with what is alive where the timeline stands.
  SavedBytes(const Timeline& timeline, std::function<Key(const Tag&)> key);

  /// Takes the next event. Returns the entry that grew by it, or null.
  const Totals::value_type* follow(const Event& event);
  const Totals& totals() const { return totals_; }

 private:
  const Totals::value_type* add(std::uint64_t position, Bytes size, const Tag& tag);
  void remove(std::uint64_t position);

  struct Part {
    Totals::value_type* total;
    Bytes bytes;
  };
  std::function<Key(const Tag&)> key_;
  Totals totals_;
  std::unordered_map<std::uint64_t, Part> parts_;
};

/// Where a program is: events of its own doing carry that, those of a block
/// that goes carry the block's past.
class Whereabouts {
 public:
  void follow(const Event& event) {
    const bool own = event.kind == EventKind::alloc || event.kind == EventKind::marker ||
                     event.kind == EventKind::segment_alloc || event.kind == EventKind::oom;
    if (own) tag_ = event.tag;
  }
  const Tag& tag() const { return tag_; }

 private:
  Tag tag_{.category = Category::other, .phase = Phase::setup};
};

}  // namespace mnemo::memory
