// StandIn: what a gradient closure holds in place of an array whose contents can be had again: computed from something
// smaller, or brought back from another device. A storage knows its own (Storage::stand_in); `Saved` asks for it.
#pragma once

#include <cstdint>

#include <mnemo/core/array.h>

namespace mnemo {

class StandIn {
 public:
  StandIn() = default;
  virtual ~StandIn() = default;
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  /// The contents of the storage at `version`, in new memory of the current category. Throws GradError where they
  /// cannot be had any more.
  virtual StorageRef restore() = 0;
  /// Whether `restore` would succeed.
  virtual bool is_current() const { return true; }

  std::uint32_t version = 0;  ///< of the storage, at which this stands for it
};

}  // namespace mnemo
