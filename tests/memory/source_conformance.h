// What any Source must do: one body for the host, the virtual device, and every other one.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include <mnemo/memory/source.h>

namespace mnemo::memory {

struct SourceTraits {
  /// A source of which at least the given bytes can be had.
  std::function<std::unique_ptr<Source>(Bytes)> make;
  bool readable = false;       ///< its memory can be touched by the processor
  bool exact_capacity = true;  ///< `make`'s bytes are its limit
};

inline void check_source(const SourceTraits& traits) {
  const auto touch = [&](std::byte* data, Bytes bytes, int value) {
    if (traits.readable) std::memset(data, value, static_cast<std::size_t>(bytes));
  };
  const auto holds = [&](const std::byte* data, Bytes bytes, int value) {
    if (!traits.readable) return true;
    for (Bytes i = 0; i < bytes; i += 509) {
      if (data[i] != static_cast<std::byte>(value)) return false;
    }
    return data[bytes - 1] == static_cast<std::byte>(value);
  };
  const auto source = traits.make(64 * MiB);
  REQUIRE(source != nullptr);
  const Bytes at_first = source->free_bytes();
  CHECK(at_first >= 64 * MiB);
  CHECK(source->capacity() >= at_first);

  // Segments: aligned, disjoint, counted, usable at once and again.
  std::vector<std::byte*> segments;
  for (int i = 0; i < 4; ++i) {
    std::byte* segment = source->allocate(2 * MiB * (i + 1));
    REQUIRE(segment != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(segment) % 512 == 0);
    touch(segment, 2 * MiB * (i + 1), i + 1);
    segments.push_back(segment);
  }
  if (traits.exact_capacity) CHECK(source->free_bytes() == at_first - 20 * MiB);
  for (int i = 0; i < 4; ++i) {
    CHECK(holds(segments[static_cast<std::size_t>(i)], 2 * MiB * (i + 1), i + 1));
    for (int j = 0; j < i; ++j) {
      const std::byte* a = segments[static_cast<std::size_t>(i)];
      const std::byte* b = segments[static_cast<std::size_t>(j)];
      CHECK((a + 2 * MiB * (i + 1) <= b || b + 2 * MiB * (j + 1) <= a));
    }
  }
  for (int i = 0; i < 4; ++i) source->free(segments[static_cast<std::size_t>(i)], 2 * MiB * (i + 1));
  if (traits.exact_capacity) CHECK(source->free_bytes() == at_first);

  // Exhaustion is a null pointer, and leaves everything as it was.
  if (traits.exact_capacity) {
    CHECK(source->allocate(66 * MiB) == nullptr);
    std::byte* most = source->allocate(40 * MiB);
    CHECK(most != nullptr);
    CHECK(source->allocate(26 * MiB) == nullptr);
    std::byte* rest = source->allocate(24 * MiB);
    CHECK(rest != nullptr);
    CHECK(source->free_bytes() == 0);
    source->free(most, 40 * MiB);
    source->free(rest, 24 * MiB);
    CHECK(source->free_bytes() == at_first);
  }

  // Ranges: address space costs nothing, pages come and go.
  std::byte* range = source->reserve_range(72 * MiB);
  if (range != nullptr) {
    if (traits.exact_capacity) CHECK(source->free_bytes() == at_first);
    CHECK(source->map(range, 4 * MiB));
    touch(range, 4 * MiB, 7);
    CHECK(source->map(range + 8 * MiB, 2 * MiB));
    touch(range + 8 * MiB, 2 * MiB, 8);
    CHECK(holds(range, 4 * MiB, 7));
    if (traits.exact_capacity) {
      CHECK(source->free_bytes() == at_first - 6 * MiB);
      CHECK(!source->map(range + 10 * MiB, 60 * MiB));
      CHECK(source->free_bytes() == at_first - 6 * MiB);
    }
    source->unmap(range, 2 * MiB);  // a part of what was mapped at once
    CHECK(holds(range + 2 * MiB, 2 * MiB, 7));
    CHECK(source->map(range, 2 * MiB));
    touch(range, 2 * MiB, 9);
    CHECK(holds(range, 2 * MiB, 9));
    source->unmap(range, 4 * MiB);  // what was mapped in two goes
    source->unmap(range + 8 * MiB, 2 * MiB);
    if (traits.exact_capacity) CHECK(source->free_bytes() == at_first);
    source->release_range(range, 72 * MiB);
  }

  // Events: waiting makes them done, and once done they stay so.
  std::vector<EventId> events;
  for (const StreamId stream : {0, 0}) events.push_back(source->record(stream));
  for (const EventId event : events) {
    source->wait(event);
    CHECK(source->is_done(event));
  }
  CHECK(source->is_done(events[0]));
}

}  // namespace mnemo::memory
