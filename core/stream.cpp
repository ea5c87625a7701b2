#include <mnemo/core/stream.h>

#include <utility>
#include <vector>

#include <fmt/format.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>

namespace mnemo {

namespace {

/// Which devices have a current stream other than 0 on this thread: hardly ever more than one.
std::vector<std::pair<const Backend*, memory::StreamId>>& current_streams() {
  thread_local std::vector<std::pair<const Backend*, memory::StreamId>> streams;
  return streams;
}

void set_current(const Backend& backend, memory::StreamId stream) {
  auto& streams = current_streams();
  for (auto entry = streams.begin(); entry != streams.end(); ++entry) {
    if (entry->first != &backend) continue;
    if (stream == 0)
      streams.erase(entry);
    else
      entry->second = stream;
    return;
  }
  if (stream != 0) streams.emplace_back(&backend, stream);
}

}  // namespace

memory::StreamId Backend::current_stream() const {
  for (const auto& [backend, stream] : current_streams()) {
    if (backend == this) return stream;
  }
  return 0;
}

memory::StreamId Backend::lend_stream() {
  const std::lock_guard lock(idle_mutex_);
  if (idle_streams_.empty()) {
    idle_streams_.reserve(lent_streams_ + 1);
    const memory::StreamId stream = new_stream();
    ++lent_streams_;
    return stream;
  }
  const memory::StreamId stream = idle_streams_.back();
  idle_streams_.pop_back();
  return stream;
}

void Backend::give_back(memory::StreamId stream) noexcept {
  const std::lock_guard lock(idle_mutex_);
  idle_streams_.push_back(stream);
}

Stream::Stream(const Device& device) : Stream(device, device.backend().current_stream()) {}

Stream Stream::create(const Device& device) { return {device, device.backend().new_stream()}; }

void Stream::wait_for(const Stream& other) const {
  if (!(device_ == other.device_)) {
    throw DeviceError(fmt::format("[stream] a stream of {} cannot wait for one of {}; wait with synchronize()",
                                  device_.name(), other.device_.name()));
  }
  if (id_ != other.id_) device_.backend().wait(id_, other.id_);
}

StreamLease::StreamLease(const Device& device) : Stream(device, device.backend().lend_stream()) {}

StreamLease::~StreamLease() { device().backend().give_back(id()); }

StreamScope::StreamScope(const Stream& stream) : before_(stream.device()) {
  set_current(stream.device().backend(), stream.id());
}

StreamScope::~StreamScope() { set_current(before_.device().backend(), before_.id()); }

}  // namespace mnemo
