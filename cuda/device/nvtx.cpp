#include <mnemo/cuda/device/nvtx.h>

#include <cstdlib>

#include <mnemo/memory/ranges.h>

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#endif

namespace mnemo::cuda {

#if __has_include(<nvtx3/nvToolsExt.h>)

namespace {

class NvtxSink final : public memory::RangeSink {
 public:
  void begin(const char* text) noexcept override { nvtxRangePushA(text); }
  void end() noexcept override { nvtxRangePop(); }
};

/// Profilers name the library that listens in these variables.
bool is_wanted() {
  for (const char* name : {"MNEMO_NVTX", "NVTX_INJECTION64_PATH", "CUDA_INJECTION64_PATH"}) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): only read
    if (value != nullptr && *value != '\0') return true;
  }
  return false;
}

}  // namespace

void announce_ranges() {
  static NvtxSink sink;
  if (is_wanted()) memory::range_sink.store(&sink, std::memory_order_release);
}

#else

void announce_ranges() {}

#endif

}  // namespace mnemo::cuda
