// An allocator on a virtual device of its own, for tests.
#pragma once

#include <memory>
#include <string_view>

#include <mnemo/memory/allocator.h>

namespace mnemo::memory {

struct VirtualDevice {
  explicit VirtualDevice(std::string_view options = "", Bytes capacity = 0)
      : source(new VirtualSource(capacity)),
        allocator(std::unique_ptr<Source>(source), AllocatorConfig::parse(options), "virtual") {}

  Block* malloc(Bytes bytes, StreamId stream = 0) { return allocator.malloc(bytes, stream); }
  void free(Block* block) { allocator.free(block); }
  Bytes allocated() const { return allocator.allocated(); }
  Bytes reserved() const { return allocator.reserved(); }
  Bytes inactive_split() const { return allocator.statistics().inactive_split_bytes.all.current; }

  VirtualSource* source;  // owned by the allocator
  CachingAllocator allocator;
};

}  // namespace mnemo::memory
