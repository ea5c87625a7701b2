// What can be said about memory from shapes alone, besides the allocator's two rules of size: blocks are multiples of
// 512 bytes, and segments have 2 MiB, 20 MiB or their own size.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include <mnemo/mnemo.h>

namespace mnemo::labs {

/// Bytes of the block that holds so many values.
memory::Bytes block_bytes(std::int64_t values, std::int64_t bytes_per_value = 4);

/// Bytes of the segments that hold these blocks, when they are made one after the other on a fresh device.
memory::Bytes segment_bytes(const std::vector<memory::Bytes>& blocks);

/// A moment of a training step: what is held, and how much of it is a workspace.
struct Moment {
  const char* name = "";
  memory::Bytes bytes = 0;
  memory::Bytes workspace = 0;
};
/// The one that holds most; the first of equals.
Moment highest(std::initializer_list<Moment> moments);

memory::Bytes held_as(const memory::CategoryBytes& categories, memory::Category category);

/// "x1.42"
std::string times(std::int64_t larger, std::int64_t smaller);

}  // namespace mnemo::labs
