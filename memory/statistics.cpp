#include <mnemo/memory/statistics.h>

namespace mnemo::memory {
namespace {

template <class Action>
void for_each_stat(Statistics& s, Action action) {
  for (PoolStat* stat : {&s.allocation, &s.segment, &s.active, &s.inactive_split, &s.allocated_bytes, &s.reserved_bytes,
                         &s.active_bytes, &s.inactive_split_bytes, &s.requested_bytes}) {
    action(stat->all);
    action(stat->small_pool);
    action(stat->large_pool);
  }
  action(s.oversize_allocations);
  action(s.oversize_segments);
}

}  // namespace

void Statistics::reset_peak() {
  for_each_stat(*this, [](Stat& stat) { stat.reset_peak(); });
}

void Statistics::reset_accumulated() {
  for_each_stat(*this, [](Stat& stat) { stat.reset_accumulated(); });
  num_alloc_retries = num_ooms = num_sync_all_streams = num_device_alloc = num_device_free = 0;
}

}  // namespace mnemo::memory
