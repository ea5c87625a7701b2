// Any bytes as calls of an allocator, told by their content: refused with an Error, or calls that can be made again.
#include <cstddef>
#include <cstdint>
#include <string>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/replay.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mnemo::memory;
  try {
    const CallTrace trace = read_calls(std::string(reinterpret_cast<const char*>(data), size), "calls");
    for (const bool rebuild_cache : {false, true}) {
      replay(trace, {.config = trace.config(),
                     .capacity = trace.capacity(),
                     .context = trace.context(),
                     .rebuild_cache = rebuild_cache});
    }
  } catch (const mnemo::Error&) {
  }
  return 0;
}
