// The error that is raised when a device cannot give a block, with everything needed to say why.
#pragma once

#include <new>
#include <string>
#include <vector>

#include <mnemo/memory/ledger.h>

namespace mnemo {

/// Catching it leaves the program as it was before the allocation: nothing was handed out, cached memory was given
/// back.
class OutOfMemory : public std::bad_alloc {
 public:
  /// The state of the allocator at the failure; bytes unless the name says otherwise.
  struct Details {
    std::string device;
    memory::Bytes requested = 0;  ///< what the caller asked for
    memory::Bytes segment = 0;    ///< what had to be obtained from the device for it
    memory::Bytes allocated = 0;
    memory::Bytes reserved = 0;
    memory::Bytes capacity = 0;            ///< of the device, or what the memory fraction allows; 0: unlimited
    memory::Bytes free = 0;                ///< what the device could still give
    memory::Bytes context = 0;             ///< of the device, for this process's driver context and libraries
    memory::Bytes others = 0;              ///< of the device, with other processes, as far as that is known
    memory::Bytes largest_free_block = 0;  ///< cached, in the pool and stream of the request
    bool injected = false;                 ///< a test asked for it: CachingAllocator::inject_failures
    double fragmentation = 0;              ///< 1 - largest cached block / all cached bytes; 0 when nothing is cached
    memory::Tag tag;                       ///< op, module and phase of the request
    memory::CategoryBytes categories{};
    struct Holder {
      memory::Tag tag;
      memory::Bytes bytes = 0;
    };
    std::vector<Holder> top_holders;  ///< largest first, at most five, blocks with the same tag added up
  };

  explicit OutOfMemory(Details details);

  const char* what() const noexcept override { return text_.c_str(); }
  const Details& details() const { return details_; }

 private:
  Details details_;
  std::string text_;
};

}  // namespace mnemo
