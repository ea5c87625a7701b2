// Account: who holds memory at one moment of a recording, added up by category,
// module and op.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>

#include <mnemo/memory/timeline.h>

namespace mnemo::memory {

/// For whom blocks are held: the tag without phase and step.
struct Holder {
  Category category = Category::other;
  std::string module;
  std::string op;

  auto operator<=>(const Holder&) const = default;
};

/// Blocks with the same holder.
struct Held {
  Bytes bytes = 0;      ///< what the blocks occupy
  Bytes requested = 0;  ///< what was asked for: at most that
  std::int64_t count = 0;

  Held& operator+=(const Held& other);
};

/// All of memory after one event. What the holders have adds up to `allocated`,
/// and that with `cached()` to `reserved`.
struct Account {
  std::int64_t event = -1;  ///< -1: before the first one; phase, op and module are then empty
  Phase phase = Phase::setup;
  std::string op, module;  ///< of the event
  std::int64_t step = 0;

  Bytes allocated = 0;
  Bytes reserved = 0;
  Bytes waiting = 0;          ///< part of `cached()`: freed, but other streams may still use it
  Bytes cached_segments = 0;  ///< part of `cached()`: segments in which no block is alive
  CategoryBytes categories{};
  std::map<Holder, Held> holders;

  /// What was asked for. Bytes.
  Bytes requested() const;
  /// What blocks occupy beyond what was asked for. Bytes.
  Bytes rounding() const { return allocated - requested(); }
  /// What was obtained from the device and is not allocated. Bytes.
  Bytes cached() const { return reserved - allocated; }
  /// The part of `cached()` that lies between blocks that are alive, in
  /// segments that can therefore not go. Bytes.
  Bytes gaps() const { return cached() - waiting - cached_segments; }
};

/// The account of the moment at which `timeline` stands.
Account account_of(const Timeline& timeline);
/// The account just after `event` (-1: before the first one; behind the last
/// one: at the end).
Account account_at(const Recording& recording, std::int64_t event);

}  // namespace mnemo::memory
