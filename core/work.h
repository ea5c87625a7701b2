// Work: how much arithmetic this thread asked of its devices, real or virtual.
#pragma once

#include <cstdint>

namespace mnemo {

struct Work {
  std::int64_t products = 0;  ///< two for each multiplication with its addition, in convolutions and matrix products
  std::int64_t elements = 0;  ///< one for each element that anything else reads or writes, whichever are more

  std::int64_t operations() const { return products + elements; }
  friend Work operator-(Work a, Work b) { return {a.products - b.products, a.elements - b.elements}; }
};

/// Since the thread began; differences are what is of use.
Work work_done();
inline std::int64_t operations_done() { return work_done().operations(); }

void count_products(std::int64_t count);
void count_operations(std::int64_t count);

}  // namespace mnemo
