// sort on the GPU against the CPU's: several rows for a block, a row for one, and rows that take several steps.
#include <doctest/doctest.h>

#include <string>

#include <mnemo/core/families.h>

#include "mirror.h"

using namespace mnemo;
using namespace views;
using mirror::moved;
using mirror::same;
using numbers::Generator;

namespace {

/// Both devices' places, whose memory was 0xff.
void check(const SortSizes& sizes, DType dtype, bool descending, const std::vector<double>& values) {
  CAPTURE(sizes.rows);
  CAPTURE(sizes.size);
  CAPTURE(sizes.count);
  CAPTURE(std::string(name(dtype)));
  CAPTURE(descending);
  const Device cpu("cpu"), cuda = *cuda_device();
  const Array x = numbers::unwritten({sizes.rows, sizes.size}, dtype);
  write(x, values);
  const Array places = numbers::unwritten({sizes.rows, sizes.count}, DType::int64), places_there = moved(places, cuda);
  const memory::Bytes bytes = cuda.backend().decisions().sort_workspace(sizes, dtype);
  cpu.backend().sort({sizes, descending, x, places});
  SortCall call{sizes, descending, moved(x, cuda), places_there};
  if (bytes > 0) call.workspace = Array({bytes}, DType::uint8, cuda);
  cuda.backend().sort(call);
  CHECK(same(places, places_there));
}

}  // namespace

TEST_CASE("cuda: sort is the CPU's in rows of any length, of all or some elements, both ways") {
  if (!cuda_device()) return;
  Generator random(41);
  std::size_t round = 0;
  for (const SortSizes& sizes :
       {SortSizes{700, 1, 1},     SortSizes{1, 2, 2},       SortSizes{90, 31, 31},    SortSizes{5, 33, 2},
        SortSizes{9, 255, 255},   SortSizes{9, 256, 256},   SortSizes{3, 1000, 17},   SortSizes{3, 1024, 1024},
        SortSizes{3, 1025, 1025}, SortSizes{2, 2047, 2047}, SortSizes{2, 2048, 2048}, SortSizes{2, 2049, 2049},
        SortSizes{2, 4096, 4095}, SortSizes{1, 4097, 4097}, SortSizes{2, 9001, 9001}, SortSizes{1, 9001, 1},
        SortSizes{2, 9001, 1024}, SortSizes{2, 9001, 1025}, SortSizes{1, 9001, 3000}, SortSizes{2, 20001, 700}}) {
    const DType narrow = kDTypes[round % std::size(kDTypes)];
    for (const DType dtype : {narrow, round % 2 == 0 ? DType::float64 : DType::int64}) {
      const bool descending = ++round % 2 == 0;
      // Numbers that often repeat, and now and then NaN and infinities.
      check(sizes, dtype, descending, any_values(random, dtype, sizes.rows * sizes.size, true));
    }
  }
}

TEST_CASE("cuda: sort keeps equal elements in their order through several steps") {
  if (!cuda_device()) return;
  for (const std::int64_t count : {std::int64_t{6000}, std::int64_t{1500}, std::int64_t{20}}) {
    check({1, 6000, count}, DType::float32, true, std::vector<double>(6000, 3));
    check({1, 6000, count}, DType::float64, false, std::vector<double>(6000, 3));
  }
}

TEST_CASE("cuda: sort takes the bytes that the virtual card takes") {
  if (!cuda_device() || virtual_twin().empty()) return;
  const auto footprint = [](const char* name) {
    const Device device = Device::open(name);
    const Array x = full({3, 9000}, 1, DType::float64, device);
    (void)sort("topk", x, 1, true, 1500);
    (void)sort("topk", x, 0, true, 2);
    const auto& statistics = device.allocator().statistics();
    return std::pair(statistics.allocated_bytes.all.peak, statistics.allocated_bytes.all.allocated);
  };
  CHECK(footprint("cuda") == footprint(virtual_twin().c_str()));
}
