// The memory that an emulated device has handed out, and for every byte who touched it last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

/// Who touched a few bytes: numbers of steps (races.h), 0 for nobody.
struct Cell {
  std::uint32_t write = 0;          ///< the last one; kAtomic is set if it was atomic
  std::uint32_t reads[2] = {0, 0};  ///< since, by threads of one block that nothing orders
  std::uint32_t foreign_read = 0;   ///< since, by a thread of an earlier block
};
inline constexpr std::uint32_t kAtomic = 1u << 31;

/// 16 bytes of memory: `size` of them are one cell's.
struct Line {
  std::uint32_t stamp = 0;  ///< the launch, or the block for shared memory; older ones count for nothing
  std::uint32_t size = 16;
  Cell cells[16];
};
inline constexpr std::size_t kLineBytes = 16;

/// A piece of the device's memory.
struct Segment {
  std::uintptr_t begin = 0, end = 0;
  Line* lines = nullptr;
  /// Of every kUnit bytes how many, from the first on, belong to a block that an allocator has handed out; empty where
  /// no allocator is known.
  std::vector<std::uint16_t> handed_out = {};

  bool is_handed_out(std::uintptr_t at, std::size_t bytes) const;
};
inline constexpr std::size_t kUnit = 512;

void add_segment(void* begin, std::size_t bytes);
void remove_segment(void* begin);
/// The first byte behind the segment that was added last.
std::uintptr_t latest_end();
/// An allocator says from now on what is handed out of these segments.
void hand_out_in_blocks(std::uintptr_t begin, std::uintptr_t end);
/// An allocator hands out memory, or has it back.
void hand_out(std::uintptr_t at, std::size_t bytes, bool given);

/// The segment with that byte, or null.
const Segment* find_segment(std::uintptr_t at);
/// The segment that begins last before that byte, or null: for what is said of an access that fails.
const Segment* segment_before(std::uintptr_t at);

/// Lines for so many bytes, nobody having touched any; memory is taken as they are used.
Line* make_lines(std::size_t bytes);

}  // namespace emulator
