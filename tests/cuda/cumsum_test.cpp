// cumsum on the GPU against the CPU's: lines for a thread and lines for a block, shorter and longer than it.
#include <doctest/doctest.h>

#include <string>

#include <mnemo/core/families.h>

#include "mirror.h"

using namespace mnemo;
using namespace views;
using mirror::close;
using mirror::moved;
using numbers::Generator;

TEST_CASE("cuda: cumsum is the CPU's along lines of any length, forwards and backwards") {
  if (!cuda_device()) return;
  const Device cpu("cpu"), cuda = *cuda_device();
  Generator random(31);
  const Shape shapes[] = {{5, 16},   {3, 17},    {2, 255},    {1, 256},    {3, 257},
                          {1, 1500}, {2, 7, 40}, {2, 300, 3}, {1, 600, 20}};
  for (const Shape& shape : shapes) {
    for (const DType dtype : {DType::float64, DType::float32, DType::float16, DType::bfloat16, DType::int64}) {
      CAPTURE(shape.text());
      CAPTURE(std::string(name(dtype)));
      const Array x = numbers::unwritten(shape, dtype);
      write(x, any_values(random, dtype, x.numel()));
      const Array x_there = moved(x, cuda);
      for (const bool reverse : {false, true}) {
        const Array out = numbers::unwritten(shape, dtype), out_there = moved(out, cuda);
        cpu.backend().cumsum(x, 1, reverse, out);
        cuda.backend().cumsum(x_there, 1, reverse, out_there);
        CHECK(close(out, out_there, 0));
      }
    }
  }
}
