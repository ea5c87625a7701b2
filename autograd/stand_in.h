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

  /// The contents of the storage at `version`, in new memory of the current category, or in what another reader of them
  /// has: as long as one has not called `release` they are restored once. Throws GradError where they cannot be had any
  /// more.
  StorageRef acquire();
  void release() noexcept;
  /// Whether `acquire` would succeed.
  virtual bool is_current() const { return true; }
  /// How many computations are behind one another from what is kept to these contents: a stand-in may need what
  /// another one stands for.
  virtual int depth() const { return 0; }

  std::uint32_t version = 0;  ///< of the storage, at which this stands for it

 protected:
  virtual StorageRef restore() = 0;

 private:
  StorageRef contents_;
  int readers_ = 0;
};

}  // namespace mnemo
