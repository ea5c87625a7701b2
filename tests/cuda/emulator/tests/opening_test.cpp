// A GPU that is there and cannot be opened.
#include <doctest/doctest.h>

#include <string>

#include <cuda_runtime_api.h>

#include <mnemo/core/device.h>
#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

using namespace mnemo;

namespace {

std::string refusal() {
  try {
    Device::open("cuda");
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "opened";
}

}  // namespace

TEST_CASE("cuda: opening: a device that others have filled, or that is lost, is refused with the reason") {
  emulator::set_capacity(100 << 20);  // less than a context takes
  const std::string full_text = refusal();
  emulator::set_capacity(150109945856);
  CHECK(full_text.find("out of memory") != std::string::npos);
  CHECK(full_text.find("use cpu, or virtual:h200") != std::string::npos);
  emulator::fail_next(cudaErrorECCUncorrectable);
  CHECK(refusal() != "opened");
  emulator::fail_next(cudaSuccess);
  CHECK(full({2}, 3, DType::float32, Device::open("cuda")).values<float>() == std::vector<float>{3, 3});
}
