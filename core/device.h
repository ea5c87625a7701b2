// A device by name: "cpu", "cpu:2GiB", "virtual:cpu", "virtual:h200", "virtual:16GiB", "cuda:0".
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <mnemo/memory/config.h>

namespace mnemo {

class Backend;

namespace memory {
class CachingAllocator;
}

/// A handle to a device; copies are the same device. The default one is the current device of the thread.
class Device {
 public:
  /// The thread's current device: "cpu" unless a DeviceScope says otherwise.
  Device();
  /// The device of that name, opened at its first use in the process (with the allocator options of MNEMO_ALLOC_CONF).
  /// Throws DeviceError listing the accepted forms.
  Device(std::string_view text);
  Device(const char* text) : Device(std::string_view(text)) {}
  explicit Device(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

  /// A new device that shares nothing with others of the same name.
  static Device open(std::string_view text,
                     const memory::AllocatorConfig& config = memory::AllocatorConfig::from_environment());

  const std::string& name() const;
  /// Shape-only: values cannot be read (they are NaN).
  bool is_virtual() const;
  Backend& backend() const { return *backend_; }
  memory::CachingAllocator& allocator() const;

  friend bool operator==(const Device& a, const Device& b) { return a.backend_ == b.backend_; }

 private:
  std::shared_ptr<Backend> backend_;
};

/// Makes a device the current one of this thread until the end of the scope.
class DeviceScope {
 public:
  explicit DeviceScope(Device device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  Device before_;
};

}  // namespace mnemo
