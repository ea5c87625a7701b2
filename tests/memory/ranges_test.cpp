#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <mnemo/memory/tag.h>

using namespace mnemo::memory;

namespace {

struct Noting final : RangeSink {
  std::vector<std::string> noted;
  void begin(const char* text) noexcept override { noted.emplace_back(text); }
  void end() noexcept override { noted.emplace_back("end"); }
};

}  // namespace

TEST_CASE("ranges: steps, phases and modules are told as they begin and end, operations and categories are not") {
  Noting sink;
  range_sink = &sink;
  {
    const StepScope step(7);
    const PhaseScope phase(Phase::backward);
    const PhaseScope same(Phase::backward);
    const ModuleScope module("encoder.0");
    const OpScope op("conv2d");
    const CategoryScope category(Category::workspace);
  }
  range_sink = nullptr;
  {
    const StepScope unheard(8);
  }
  CHECK(sink.noted == std::vector<std::string>{"step 7", "backward", "encoder.0", "end", "end", "end"});
}
