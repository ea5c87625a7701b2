#include <mnemo/core/work.h>

namespace mnemo {

namespace {

thread_local std::int64_t done = 0;

}  // namespace

std::int64_t operations_done() { return done; }
void count_operations(std::int64_t count) { done += count; }

}  // namespace mnemo
