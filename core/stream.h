// Streams: queues of work of one device. Work of one stream runs in order, that of several side by side.
#pragma once

#include <mnemo/core/device.h>
#include <mnemo/memory/source.h>

namespace mnemo {

/// A handle to a stream; copies are the same one. A device has stream 0 from the start; the host has no other.
class Stream {
 public:
  /// The stream in which this thread queues work on the device.
  explicit Stream(const Device& device = {});
  /// A new one, there until the device is closed. On the host, where there is nothing to run side by side, stream 0.
  static Stream create(const Device& device = {});

  const Device& device() const { return device_; }
  memory::StreamId id() const { return id_; }

  /// What is queued here from now on begins when what is queued in `other` now is done. Throws DeviceError unless both
  /// are of one device.
  void wait_for(const Stream& other) const;

  friend bool operator==(const Stream& a, const Stream& b) { return a.device_ == b.device_ && a.id_ == b.id_; }

 private:
  friend class StreamLease;
  Stream(Device device, memory::StreamId id) : device_(std::move(device)), id_(id) {}

  Device device_;
  memory::StreamId id_;
};

/// A stream that is its owner's alone as long as it lives, and the next owner's then: for what comes and goes, since a
/// device has a limited number of streams. REQUIRES: at its end nothing that is queued in it is waited for.
class StreamLease : public Stream {
 public:
  explicit StreamLease(const Device& device = {});
  ~StreamLease();
  StreamLease(const StreamLease&) = delete;
  StreamLease& operator=(const StreamLease&) = delete;
};

/// Makes a stream the one in which this thread queues work on its device, and for which it allocates, until the end of
/// the scope. An array made in one stream and used in another must say so: Array::record_stream.
class StreamScope {
 public:
  explicit StreamScope(const Stream& stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  Stream before_;
};

}  // namespace mnemo
