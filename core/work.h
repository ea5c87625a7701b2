// Work: how much arithmetic this thread asked of its devices, real or virtual.
#pragma once

#include <cstdint>

namespace mnemo {

/// Operations since the thread began: two for each multiplication with its addition in convolutions and matrix
/// products, one for each element that anything else reads or writes,
/// whichever are more. Differences are what is of use.
std::int64_t operations_done();
void count_operations(std::int64_t count);

}  // namespace mnemo
