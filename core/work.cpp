#include <mnemo/core/work.h>

namespace mnemo {

namespace {

thread_local Work done;

}  // namespace

Work work_done() { return done; }
void count_products(std::int64_t count) { done.products += count; }
void count_operations(std::int64_t count) { done.elements += count; }

}  // namespace mnemo
