// mnemo step with weights and data from files: what it computes beside arithmetic on paper, going on where another run
// ended, and what it refuses.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>

#include <mnemo/mnemo.h>

#include "program.h"

using namespace mnemo;
using nlohmann::json;

namespace {

std::vector<double> losses(const json& object) {
  std::vector<double> list;
  for (const json& run : object["runs"]) {
    for (const json& step : run["steps"]) list.push_back(step["loss"].get<double>());
  }
  return list;
}

/// A file of tensors that is gone at the end of the scope.
class Tensors {
 public:
  explicit Tensors(const std::vector<NamedArray>& arrays = {}) : file_("") { write_tensors(file_.path(), arrays); }
  const std::string& path() const { return file_.path(); }
  std::string read() const { return file_.read(); }

 private:
  TemporaryFile file_;
};

/// 6 images for simple-conv.
std::vector<NamedArray> images(DType dtype = DType::float32) {
  const Tensor input = randn({6, 3, 28, 28}), target = randint(0, 10, {6});
  return {{"input", input.array().to(dtype)}, {"target", target.array()}};
}

}  // namespace

TEST_CASE("weights and data from files: the losses of a small layer are those of arithmetic on paper") {
  const double w = 0.5, b = -0.25;
  const std::vector<float> x{1, -2, 3, 0.5, 4, -1, 2, 2, 0, 1, -3, 1.5};  // 4 samples of 3
  const Tensors weights({{"conv.weight", Array::from<float>({static_cast<float>(w)}, {1, 1, 1})},
                         {"conv.bias", Array::from<float>({static_cast<float>(b)}, {1})}});
  const Tensors data({{"input", Array::from<float>(x, {4, 1, 3})}});
  const Tensors saved;
  const json object = object_of("step conv1d:1,1,k1@3x1x3 --steps 5 --weights " + weights.path() + " --data " +
                                data.path() + " --save-weights " + saved.path());
  // Batches of 3 samples in order, and around: 0 1 2, 3 0 1, 2 3 0, 1 2 3, 0 1 2.
  double weight = w, bias = b;
  std::vector<double> expected;
  for (std::size_t step = 0; step < 5; ++step) {
    double loss = 0, by_weight = 0, by_bias = 0;
    for (std::size_t i = 0; i < 9; ++i) {
      const double value = static_cast<double>(x[(step * 9 + i) % 12]), y = weight * value + bias;
      loss += y * y / 9, by_weight += 2 * y * value / 9, by_bias += 2 * y / 9;
    }
    expected.push_back(loss);
    weight -= 0.01 * by_weight, bias -= 0.01 * by_bias;
  }
  const std::vector<double> found = losses(object);
  REQUIRE(found.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(std::abs(found[i] - expected[i]) < 1e-6 * expected[i]);
  CHECK(object["weights"] == weights.path());
  CHECK(object["saved_weights"] == saved.path());
  CHECK(object["data"] == json{{"file", data.path()}, {"samples", 4}});
  TensorFile file(saved.path());
  CHECK(std::abs(file.read(*file.find("conv.weight")).item() - weight) < 1e-6);
  CHECK(std::abs(file.read(*file.find("conv.bias")).item() - bias) < 1e-6);
}

TEST_CASE("a run that goes on with saved weights does what one long run does") {
  const Tensors data(images()), half, rest, whole;
  const std::string common = " --batch 3 --data " + data.path() + " --steps ";
  const std::vector<double> first = losses(object_of("step simple-conv" + common + "2 --save-weights " + half.path()));
  const std::vector<double> second = losses(object_of("step simple-conv" + common + "2 --seed 7 --weights " +
                                                      half.path() + " --save-weights " + rest.path()));
  std::vector<double> together = first;
  together.insert(together.end(), second.begin(), second.end());
  CHECK(losses(object_of("step simple-conv" + common + "4 --save-weights " + whole.path())) == together);
  CHECK(whole.read() == rest.read());
  CHECK(whole.read() != half.read());
}

TEST_CASE("data from a file take the bytes of random data, on the CPU and on virtual devices, in every dtype") {
  for (const DType dtype : {DType::float64, DType::float16}) {
    const Tensors data(images(dtype));
    for (const char* device : {"cpu", "virtual:cpu", "virtual:h200"}) {
      CAPTURE(device);
      const std::string run = std::string("step simple-conv --batch 4,2 --steps 2 --device ") + device;
      json random = object_of(run), own = object_of(run + " --data " + data.path());
      own.erase("data");
      for (json* object : {&random, &own}) {
        for (json& part : (*object)["runs"]) {
          for (json& step : part["steps"]) step.erase("loss"), step.erase("operations");  // a cast is one
        }
      }
      CHECK(random == own);
    }
  }
}

TEST_CASE("volumes need not be cubes") {
  const Tensors data(
      {{"input", Array({2, 1, 4, 8, 12}, DType::float32)}, {"target", Array({2, 4, 8, 12}, DType::int64)}});
  const json object = object_of("step unet3d --device virtual:cpu --checkpoint 2 --data " + data.path());
  CHECK(object["runs"][0]["size"] == 0);
  const Tensors odd(
      {{"input", Array({2, 1, 4, 8, 13}, DType::float32)}, {"target", Array({2, 4, 8, 13}, DType::int64)}});
  const Answer answer = mnemo_command("step unet3d --device virtual:cpu --data " + odd.path());
  CHECK(answer.code == 2);
  CHECK(answer.err.find("in " + odd.path()) != std::string::npos);
}

TEST_CASE("step refuses data that do not suit the model, with what would") {
  const auto refused = [](const std::vector<NamedArray>& arrays, const std::string& said,
                          const std::string& more = "") {
    const Tensors data(arrays);
    const Answer answer = mnemo_command("step simple-conv --device virtual:cpu --data " + data.path() + more);
    CHECK(answer.code == 2);
    CHECK(answer.err.find(said) != std::string::npos);
    if (answer.err.find(said) == std::string::npos) MESSAGE(answer.err);
  };
  const Array input({6, 3, 28, 28}, DType::float32), target({6}, DType::int64);
  refused({{"x", input}, {"y", target}}, "has no tensor \"input\"; it has y, x");
  refused({}, "it has none at all");
  refused({{"input", Array({6, 1, 28, 28}, DType::float32)}, {"target", target}},
          "input is F32 (6, 1, 28, 28); simple-conv takes floating-point numbers (samples, 3, height, width)");
  refused({{"input", Array({6, 3, 28}, DType::float32)}, {"target", target}}, "(samples, 3, height, width)");
  refused({{"input", Array({6, 3, 28, 28}, DType::uint8)}, {"target", target}}, "input is U8");
  refused({{"input", Array({0, 3, 28, 28}, DType::float32)}, {"target", Array({0}, DType::int64)}}, "no samples");
  refused({{"input", input}}, "has no tensor \"target\"; simple-conv takes class indices from 0 to 9");
  refused({{"input", input}, {"target", Array({5}, DType::int64)}}, "target is I64 (5); simple-conv takes");
  refused({{"input", input}, {"target", Array({6}, DType::int32)}}, "target as I64 (6)");
  refused({{"input", input}, {"target", target}}, "have the sizes 28 x 28; leave it out", " --size 29");
  const Tensors squares({{"input", Array({2, 128, 512}, DType::float32)}, {"target", Array({2}, DType::int64)}});
  CHECK(mnemo_command("step conv1d --device virtual:cpu --data " + squares.path()).err.find("has no classes") !=
        std::string::npos);
}

TEST_CASE("step refuses weights that do not fit, and says before training that they cannot be saved") {
  const Tensors weights({{"conv1.weight", Array::from<float>({1}, {1})}});
  Answer answer = mnemo_command("step simple-conv --weights " + weights.path());
  CHECK(answer.code == 2);
  CHECK(answer.err.find("conv1.weight is F32 (1) in the file, F32 (32, 3, 3, 3) in the model") != std::string::npos);
  CHECK(answer.err.find("missing in the file: fc.bias, F32 (10)") != std::string::npos);
  CHECK(answer.out.empty());
  answer = mnemo_command("step simple-conv --device virtual:cpu --save-weights " + weights.path());
  CHECK(answer.code == 2);
  CHECK(answer.err.find("computes no values") != std::string::npos);
  for (const char* path : {"/nonexistent/file", "/dev/null", "/"}) {
    answer = mnemo_command(std::string("step simple-conv --save-weights ") + path);
    CHECK(answer.code == 1);
    CHECK(answer.out.empty());
    CHECK(answer.err.find("--save-weights: ") != std::string::npos);
  }
  // Names and shapes are compared without values too.
  answer = mnemo_command("step simple-conv --device virtual:h200 --weights " + weights.path());
  CHECK(answer.code == 2);
}
