#include <mnemo/memory/event.h>

namespace mnemo::memory {

const char* name(EventKind kind) {
  switch (kind) {
    case EventKind::alloc:
      return "alloc";
    case EventKind::free_requested:
      return "free_requested";
    case EventKind::free_completed:
      return "free_completed";
    case EventKind::retag:
      return "retag";
    case EventKind::segment_alloc:
      return "segment_alloc";
    case EventKind::segment_free:
      return "segment_free";
    case EventKind::oom:
      return "oom";
    case EventKind::marker:
      return "marker";
  }
  return "marker";
}

}  // namespace mnemo::memory
