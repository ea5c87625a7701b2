// Optimizers that go on from a file.
#include <doctest/doctest.h>

#include <fstream>
#include <functional>

#include <mnemo/autograd/ops.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/families.h>
#include <mnemo/core/tensor_file.h>
#include <mnemo/memory/allocator.h>
#include <mnemo/optim/scaler.h>

#include "optimizers.h"
#include "temporary_folder.h"

using namespace optimizers;
using memory::Bytes;
using memory::Category;

namespace {

/// A path for a file that is gone at the end of the test.
class Path {
 public:
  operator std::string() const { return folder_ / "state.safetensors"; }

 private:
  TemporaryFolder folder_;
};

/// Parameters with what has moments of every kind: long enough for 8 bits, short, and with the channels innermost.
std::vector<Tensor> parameters(DType dtype, bool row_major = false, const Device& device = "cpu") {
  numbers::Generator random(7);
  std::vector<Tensor> all{parameter_of(any_numbers(random, 5000), {50, 100}, dtype, device),
                          parameter_of(any_numbers(random, 7), {7}, dtype, device)};
  const Array images = parameter_of(any_numbers(random, 2 * 3 * 4 * 5), {2, 3, 4, 5}, dtype, device).array();
  all.emplace_back(row_major ? images : images.channels_last(), true);
  return all;
}

/// Gradients that depend on the step alone; the last parameter has none in the first two.
void set_gradients(std::vector<Tensor>& all, int step) {
  numbers::Generator random(static_cast<unsigned>(100 + step));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto values = any_numbers(random, all[i].numel());
    if (i == 2 && step < 2) continue;
    all[i].set_grad(parameter_of(values, all[i].shape(), all[i].dtype(), all[i].device()).detach());
  }
}

void train(Optimizer& optimizer, std::vector<Tensor>& all, int from, int to, GradScaler* scaler = nullptr) {
  for (int step = from; step < to; ++step) {
    set_gradients(all, step);
    if (scaler == nullptr) {
      optimizer.step();
      continue;
    }
    scaler->scale(full({1}, 1, {.requires_grad = true}));
    if (step == 3) fill(all[1].grad().array(), std::numeric_limits<double>::infinity());  // this step is skipped
    scaler->step(optimizer);
    scaler->update();
  }
}

std::vector<std::vector<double>> values(const std::vector<Tensor>& all) {
  std::vector<std::vector<double>> result;
  for (const Tensor& tensor : all) result.push_back(tensor.values<double>());
  return result;
}

void copy_values(const std::vector<Tensor>& from, const std::vector<Tensor>& to) {
  for (std::size_t i = 0; i < from.size(); ++i) copy_into(from[i].array(), to[i].array());
}

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Optimizer>(std::vector<Tensor>)> make;
  DType dtype = DType::float32;
  bool row_major = false;
};

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const Rule& rule : all_rules()) all.push_back({rule.name, [rule](auto p) { return rule.make(std::move(p)); }});
  all.push_back({"double", [](auto p) { return std::make_unique<Adam>(std::move(p)); }, DType::float64});
  all.push_back({"half", [](auto p) { return std::make_unique<AdamW>(std::move(p)); }, DType::bfloat16});
  all.push_back({"8 bits", [](auto p) { return std::make_unique<Adam8bit>(std::move(p)); }, DType::float32, true});
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    all.push_back(
        {"master weights",
         [](auto p) { return std::make_unique<Adam>(std::move(p), AdamOptions{.lr = 1e-4, .master_weights = true}); },
         dtype});
    all.push_back({"8 bits, master weights",
                   [](auto p) { return std::make_unique<Adam8bit>(std::move(p), AdamOptions{.master_weights = true}); },
                   dtype, true});
  }
  return all;
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a new optimizer that loads goes on as the saved one does, bit for bit") {
  for (const Kind& kind : kinds()) {
    for (const bool scaled : {false, true}) {
      if (scaled && kind.dtype == DType::float16) continue;  // is refused
      CAPTURE(kind.name);
      CAPTURE(scaled);
      const Path path;
      auto plain = parameters(kind.dtype, kind.row_major), resumed = parameters(kind.dtype, kind.row_major);
      const auto optimizer = kind.make(plain);
      GradScaler scaler({.init_scale = 2}), other_scaler({.init_scale = 2});
      train(*optimizer, plain, 0, 5, scaled ? &scaler : nullptr);
      optimizer->set_lr(optimizer->lr() / 3);
      optimizer->save(path);
      copy_values(plain, resumed);
      const auto other = kind.make(resumed);
      other->load(path);
      CHECK(other->lr() == optimizer->lr());
      for (std::size_t i = 0; i < plain.size(); ++i) CHECK(other->steps(i) == optimizer->steps(i));
      CHECK(other->steps(2) == (scaled ? 2 : 3));
      other_scaler.load(scaler.state());
      train(*optimizer, plain, 5, 9, scaled ? &scaler : nullptr);
      train(*other, resumed, 5, 9, scaled ? &other_scaler : nullptr);
      CHECK(values(resumed) == values(plain));
    }
  }
}

TEST_CASE("an optimizer that has stepped goes back to the file, in the memory that it has") {
  for (const Kind& kind : kinds()) {
    CAPTURE(kind.name);
    const Path path;
    auto all = parameters(kind.dtype, kind.row_major);
    const auto optimizer = kind.make(all);
    train(*optimizer, all, 0, 2);  // one parameter has not stepped
    optimizer->save(path);
    const auto start = parameters(kind.dtype, kind.row_major);
    copy_values(all, start);
    train(*optimizer, all, 2, 5);
    const auto expected = values(all);
    memory::CachingAllocator& allocator = all[0].device().allocator();
    const Bytes before = allocator.allocated();
    copy_values(start, all);
    for (const Tensor& tensor : all) tensor.array().storage()->changed_in_place();
    optimizer->load(path);
    CHECK(allocator.allocated() == before);
    CHECK(optimizer->steps(2) == 0);
    train(*optimizer, all, 2, 5);
    CHECK(values(all) == expected);
  }
}

TEST_CASE("what does not fit is named, and changes nothing") {
  const Path path;
  auto all = parameters(DType::float32);
  Adam adam(all);
  train(adam, all, 0, 4);
  adam.save(path, {{"epoch", "3"}});
  CHECK(TensorFile(path).metadata().at("epoch") == "3");

  const auto refused = [&](auto make, std::vector<Tensor> parameters) {
    const auto optimizer = make(parameters);
    train(*optimizer, parameters, 0, 3);
    const auto before = values(parameters);
    const Bytes allocated = parameters[0].device().allocator().allocated();
    const std::string text = refusal([&] { optimizer->load(path); });
    CHECK(parameters[0].device().allocator().allocated() == allocated);
    CHECK(optimizer->steps(0) == 3);
    CHECK(values(parameters) == before);
    train(*optimizer, parameters, 3, 4);
    CHECK(optimizer->steps(0) == 4);
    return text;
  };
  const auto adam_of = [](std::vector<Tensor> p) { return std::make_unique<Adam>(std::move(p)); };
  const auto sgd_of = [](std::vector<Tensor> p) { return std::make_unique<SGD>(std::move(p), SGDOptions{.lr = 1}); };
  const auto coded_of = [](std::vector<Tensor> p) { return std::make_unique<Adam8bit>(std::move(p)); };
  CHECK(refused(sgd_of, parameters(DType::float32)).find("optimizer = Adam, not SGD") != std::string::npos);
  auto more = parameters(DType::float32);
  more.push_back(parameter_of({1}, {1}, DType::float32));
  CHECK(refused(adam_of, more).find("steps is I64 (3), for 4 parameters") != std::string::npos);
  auto other = parameters(DType::float32);
  other[1] = parameter_of({1, 2, 3}, {3}, DType::float32);
  CHECK(refused(adam_of, other).find("1.first_moment is F32 (7) in the file, F32 (3) here") != std::string::npos);
  CHECK(refused(coded_of, parameters(DType::float32, true)).find("missing: 0.first_moment.largest") !=
        std::string::npos);
  {
    auto coded_parameters = parameters(DType::float32, true);
    Adam8bit coded(coded_parameters);
    train(coded, coded_parameters, 0, 3);
    coded.save(path);
    CHECK(refused(adam_of, parameters(DType::float32)).find("not of this optimizer: 0.first_moment.largest") !=
          std::string::npos);
  }
  write_tensors(path, std::vector<NamedArray>{{"steps", Array::from<std::int64_t>({0, -1, 0}, {3}, "cpu")}},
                {{"optimizer", "Adam"}, {"lr", "0.1"}});
  CHECK(refused(adam_of, parameters(DType::float32)).find("steps of parameter 1 is -1") != std::string::npos);
  for (const char* rate : {"", "nan", "-1", "1e301", "0.1 "}) {
    write_tensors(path, std::vector<NamedArray>{{"steps", Array::from<std::int64_t>({0, 0, 0}, {3}, "cpu")}},
                  {{"optimizer", "Adam"}, {"lr", rate}});
    CHECK(refused(adam_of, parameters(DType::float32)).find("no lr") != std::string::npos);
  }
  std::ofstream(std::string(path), std::ios::trunc) << "no tensors";
  CHECK(!refused(adam_of, parameters(DType::float32)).empty());
}

TEST_CASE("state in 8 bits is of row-major parameters") {
  const Path path;
  numbers::Generator random(1);
  const auto images = parameter_of(any_numbers(random, 2 * 3 * 40 * 50), {2, 3, 40, 50}, DType::float32).array();
  std::vector<Tensor> all{Tensor(images.channels_last(), true)}, row_major{Tensor(images, true)};
  Adam8bit optimizer(all), other(row_major);
  all[0].set_grad(all[0].detach());
  row_major[0].set_grad(row_major[0].detach());
  optimizer.step();
  other.step();
  CHECK_THROWS_WITH_AS(optimizer.save(path), doctest::Contains("not row-major"), ShapeError);
  other.save(path);
  CHECK_THROWS_WITH_AS(optimizer.load(path), doctest::Contains("not row-major"), FileError);
}

TEST_CASE("loading on a virtual device takes the memory of the state, and has no values to save") {
  const Path path;
  auto all = parameters(DType::float32);
  Adam adam(all);
  train(adam, all, 0, 3);
  adam.save(path);
  const Device device = Device::open("virtual:cpu");
  const auto state = [&] {
    return device.allocator().categories()[static_cast<std::size_t>(Category::optimizer_state)];
  };
  auto stepped = parameters(DType::float32, false, device), loaded = parameters(DType::float32, false, device);
  Bytes expected = 0;
  {
    Adam other(stepped);
    train(other, stepped, 0, 3);
    expected = state();
    CHECK(refusal([&] { other.save(path); }).find("virtual") != std::string::npos);
  }
  REQUIRE(state() == 0);
  Adam other(loaded);
  other.load(path);
  CHECK(state() == expected);
  CHECK(other.steps(0) == 3);
}

TEST_CASE("out of memory while loading leaves the optimizer as it was") {
  const Path path;
  auto all = parameters(DType::float32);
  Adam adam(all);
  train(adam, all, 0, 3);
  adam.save(path);
  const Device small = Device::open("virtual:2MiB");
  auto few = parameters(DType::float32, false, small);
  std::vector<Array> others;
  try {
    for (;;) others.emplace_back(Shape{1024}, DType::float32, small);
  } catch (const OutOfMemory&) {
  }
  others.resize(others.size() - 7);  // room for one moment of 20,000 bytes, not for two
  Adam other(few);
  const Bytes before = small.allocator().allocated();
  CHECK_THROWS_AS(other.load(path), OutOfMemory);
  CHECK(small.allocator().allocated() == before);
  CHECK(other.steps(0) == 0);
}

TEST_CASE("an optimizer whose steps were all skipped is saved as one that has not stepped") {
  const Path path;
  auto all = parameters(DType::float32), others = parameters(DType::float32);
  Adam adam(all), other(others);
  GradScaler scaler({.init_scale = 2});
  train(adam, all, 3, 4, &scaler);  // the one that is skipped
  REQUIRE(adam.steps(0) == 0);
  adam.save(path);
  other.load(path);
  CHECK(other.steps(0) == 0);
  train(adam, all, 4, 6);
  train(other, others, 4, 6);
  CHECK(values(others) == values(all));
}
