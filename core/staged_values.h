// StagedValues: values from the host on their way into arrays that exist. All that can fail comes before the first
// array changes.
#pragma once

#include <vector>

#include <mnemo/core/array.h>

namespace mnemo {

class StagedValues {
 public:
  /// `values`: on the host, of the shape of `target`; they are cast to its dtype. Nothing is staged for a virtual
  /// device, or where there is no element. Takes memory of the host for the values, and of the device only where
  /// `target` is a view with gaps. Throws OutOfMemory.
  void add(const Array& values, const Array& target);
  /// Brings all of them into their places, whose strides stay. Allocates nothing.
  void write();

 private:
  struct Entry {
    Array host;    ///< row-major, with the dtype of `place`
    Array place;   ///< a row-major view of the target's memory, or memory beside it
    Array target;  ///< defined where `place` is memory beside the target's
  };
  std::vector<Entry> entries_;
};

}  // namespace mnemo
