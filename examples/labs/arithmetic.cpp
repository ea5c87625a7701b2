#include "labs/arithmetic.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

namespace mnemo::labs {

using memory::Bytes;
using memory::MiB;

Bytes block_bytes(std::int64_t values, std::int64_t bytes_per_value) {
  return memory::round_up(values * bytes_per_value, 512);
}

Bytes segment_bytes(const std::vector<Bytes>& blocks) {
  struct Segment {
    Bytes size;
    Bytes room;
  };
  std::vector<Segment> segments;
  for (const Bytes block : blocks) {
    if (block == 0) continue;
    const Bytes size = block <= MiB ? 2 * MiB : block < 10 * MiB ? 20 * MiB : memory::round_up(block, 2 * MiB);
    Segment* best = nullptr;  // the tightest; small and large blocks never share
    for (Segment& segment : segments) {
      const bool shares = (segment.size == 2 * MiB) == (size == 2 * MiB);
      if (shares && segment.room >= block && (best == nullptr || segment.room < best->room)) best = &segment;
    }
    if (best == nullptr) best = &segments.emplace_back(Segment{size, size});
    best->room -= block;
  }
  return std::accumulate(segments.begin(), segments.end(), Bytes{0},
                         [](Bytes sum, const Segment& segment) { return sum + segment.size; });
}

Moment highest(std::initializer_list<Moment> moments) {
  return *std::max_element(moments.begin(), moments.end(),
                           [](const Moment& a, const Moment& b) { return a.bytes < b.bytes; });
}

Bytes held_as(const memory::CategoryBytes& categories, memory::Category category) {
  return categories[static_cast<std::size_t>(category)];
}

std::string times(std::int64_t larger, std::int64_t smaller) {
  return fmt::format("x{:.2f}", static_cast<double>(larger) / static_cast<double>(smaller));
}

}  // namespace mnemo::labs
