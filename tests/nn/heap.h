// The heap of the test program, which can be made to fail.
#pragma once

#include <cstdint>

namespace heap {

/// Of the requests for memory with `new` on this thread from now on, number `first` (1 is the next one) and those after
/// it, `count` of them, throw std::bad_alloc. A count of 0 ends it.
void fail(std::int64_t first, std::int64_t count);
/// Whether a request has failed since `fail`.
bool has_failed();

}  // namespace heap
