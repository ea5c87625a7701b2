// Where raw memory comes from: whole segments, address ranges that are mapped page by page
// (expandable segments), and the stream events that say when a block's last use has passed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <mnemo/memory/bytes.h>

namespace mnemo::memory {

/// A stream of the device; 0 is the default stream. Work on the host has only stream 0.
using StreamId = std::int64_t;

/// A point in a stream's work, by the number that `Source::record` gave.
using EventId = std::uint64_t;

/// A device's raw memory. Exhaustion is a null pointer or `false`, never an exception: retrying is the allocator's job.
/// Called under the allocator's lock; a source needs no lock of its own.
class Source {
 public:
  virtual ~Source() = default;

  /// A new segment of `bytes`, or nullptr when the device has no room for it.
  virtual std::byte* allocate(Bytes bytes) = 0;
  virtual void free(std::byte* segment, Bytes bytes) noexcept = 0;
  /// Where the segment that was just allocated stands among the others when equal free blocks are chosen from: its
  /// Block::position. By default behind all earlier ones.
  virtual std::optional<std::uint64_t> place(const std::byte* /*segment*/) const { return std::nullopt; }

  /// An address range without memory behind it; nullptr where the source has no virtual addressing.
  virtual std::byte* reserve_range(Bytes bytes) = 0;
  virtual void release_range(std::byte* range, Bytes bytes) noexcept = 0;
  /// Puts memory behind part of a range; false when the device has no room for it.
  virtual bool map(std::byte* address, Bytes bytes) = 0;
  virtual void unmap(std::byte* address, Bytes bytes) noexcept = 0;

  /// Total bytes of the device, as its driver reports them.
  virtual Bytes capacity() const = 0;
  /// Bytes that the device can still give (to this process or to others).
  virtual Bytes free_bytes() const = 0;
  /// Bytes of the device that this process had before its first segment (context, libraries).
  virtual Bytes context_bytes() const { return 0; }
  /// Bytes of the device that other processes have now, as far as that is known.
  virtual Bytes others_bytes() const { return 0; }

  /// Marks the present end of `stream`'s work.
  virtual EventId record(StreamId stream) = 0;
  virtual bool is_done(EventId event) = 0;
  virtual void wait(EventId event) = 0;
};

/// Host memory with an optional capacity (0: the machine's physical memory). Every event is done at once.
std::unique_ptr<Source> make_host_source(Bytes capacity = 0);

/// Addresses without memory behind them, counted against a capacity; a new segment lies above every earlier one.
/// Events stay pending until `complete_events()`.
class VirtualSource final : public Source {
 public:
  /// `capacity` 0 means unlimited; `context` bytes are taken from the start (driver context, libraries).
  explicit VirtualSource(Bytes capacity = 0, Bytes context = 0);

  std::byte* allocate(Bytes bytes) override;
  void free(std::byte* segment, Bytes bytes) noexcept override;
  std::byte* reserve_range(Bytes bytes) override;
  void release_range(std::byte* range, Bytes bytes) noexcept override;
  bool map(std::byte* address, Bytes bytes) override;
  void unmap(std::byte* address, Bytes bytes) noexcept override;
  Bytes capacity() const override;
  Bytes free_bytes() const override;
  Bytes context_bytes() const override { return context_; }
  EventId record(StreamId stream) override;
  bool is_done(EventId event) override;
  void wait(EventId event) override;

  /// Everything recorded so far is done.
  void complete_events() { completed_ = recorded_; }

 private:
  Bytes capacity_;
  Bytes context_;
  Bytes used_ = 0;
  std::uintptr_t next_address_;
  EventId recorded_ = 0;
  EventId completed_ = 0;
};

}  // namespace mnemo::memory
