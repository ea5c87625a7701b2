// A virtual device whose streams finish one by one, when the test says so.
#pragma once

#include <algorithm>
#include <map>

#include <mnemo/memory/source.h>

namespace mnemo::memory {

class StreamedSource final : public Source {
 public:
  explicit StreamedSource(Bytes capacity = 0) : device_(capacity) {}

  std::byte* allocate(Bytes bytes) override {
    ++device_calls;
    return device_.allocate(bytes);
  }
  void free(std::byte* segment, Bytes bytes) noexcept override { device_.free(segment, bytes); }
  std::byte* reserve_range(Bytes bytes) override { return device_.reserve_range(bytes); }
  void release_range(std::byte* range, Bytes bytes) noexcept override { device_.release_range(range, bytes); }
  bool map(std::byte* address, Bytes bytes) override { return device_.map(address, bytes); }
  void unmap(std::byte* address, Bytes bytes) noexcept override { device_.unmap(address, bytes); }
  Bytes capacity() const override { return device_.capacity(); }
  Bytes free_bytes() const override { return device_.free_bytes(); }

  EventId record(StreamId stream) override {
    streams_[++last_] = stream;
    return last_;
  }
  bool is_done(EventId event) override { return event <= done_[streams_[event]]; }
  void wait(EventId event) override {
    EventId& done = done_[streams_[event]];
    done = std::max(done, event);
  }

  /// The work of one stream, as far as it was recorded, is done.
  void complete(StreamId stream) { done_[stream] = last_; }

  int device_calls = 0;

 private:
  VirtualSource device_;
  EventId last_ = 0;
  std::map<EventId, StreamId> streams_;
  std::map<StreamId, EventId> done_;
};

}  // namespace mnemo::memory
