#include "autograd/op_rows.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>

#include <mnemo/core/backend.h>
#include <mnemo/core/random.h>
#include <mnemo/core/threads.h>

#include "cuda_device.h"

namespace rows {

using mnemo::Array;
using mnemo::Device;
using mnemo::Dims;

namespace {

enum class Form { contiguous, transposed, channels_last, sliced, expanded };
constexpr Form kForms[] = {Form::contiguous, Form::transposed, Form::channels_last, Form::sliced, Form::expanded};
const char* name(Form form) {
  constexpr const char* names[] = {"contiguous", "transposed", "channels-last", "sliced", "expanded"};
  return names[static_cast<int>(form)];
}

Index sizes_of(const Shape& shape) { return Index(shape.begin(), shape.end()); }

Plain plain(const Array& x) { return {sizes_of(x.shape()), x.values<double>()}; }

/// The same values with strides of the wanted form. Expanded: the first slice along axis 0 everywhere.
Array in_form(const Array& x, Form form) {
  if (form == Form::contiguous || x.rank() == 0) return x;
  if (form == Form::expanded) return x.size(0) == 0 ? x : x.slice(0, 0, 1).contiguous().expand(x.shape());
  if (form == Form::channels_last) return x.channels_last();
  if (form == Form::transposed) {
    Dims reversed = x.shape();
    for (int axis = 0; axis < x.rank(); ++axis) reversed[axis] = x.rank() - 1 - axis;
    return x.permute(reversed).contiguous().permute(reversed);
  }
  Dims wide = x.shape();
  for (int axis = 0; axis < x.rank(); ++axis) wide[axis] = 2 * x.size(axis) + 1;
  Array around(Shape(wide), x.dtype(), x.device());
  x.device().backend().fill(around, 7);
  for (int axis = 0; axis < x.rank(); ++axis) around = around.slice(axis, 1, 2 * x.size(axis) + 1, 2);
  x.device().backend().copy(x, around);
  return around;
}

std::vector<double> random_values(const Input& input, double kink, std::mt19937& engine) {
  std::uniform_real_distribution<double> uniform(input.low, input.high);
  std::vector<double> values(static_cast<std::size_t>(input.shape.numel()));
  for (double& value : values) {
    do value = uniform(engine);
    while (std::abs(value - kink) < 0.02);
  }
  return values;
}

struct Sample {
  std::vector<Array> arrays;  // float64 or int64, contiguous
  std::vector<bool> differentiable;
};

Sample sample(const OpRow& row, const std::vector<Input>& inputs, const Device& device, unsigned seed = 1) {
  std::mt19937 engine(seed);
  Sample result;
  for (const Input& input : inputs) {
    const bool indices = !input.indices.empty();
    result.arrays.push_back(indices ? Array::from(input.indices, input.shape, device)
                                    : Array::from(random_values(input, row.kink, engine), input.shape, device));
    result.differentiable.push_back(!indices && input.differentiable);
  }
  return result;
}

Sample changed(Sample sample, const std::function<Array(const Array&)>& change) {
  for (std::size_t i = 0; i < sample.arrays.size(); ++i) {
    if (sample.arrays[i].dtype() != DType::int64) sample.arrays[i] = change(sample.arrays[i]);
  }
  return sample;
}

Tensors tensors(const Sample& sample, bool requires_grad) {
  Tensors result;
  for (std::size_t i = 0; i < sample.arrays.size(); ++i) {
    result.emplace_back(sample.arrays[i], requires_grad && sample.differentiable[i]);
  }
  return result;
}

struct Run {
  Array value;
  std::vector<Array> gradients;  // undefined for inputs without
};

/// Forward and backward, with an upstream gradient that depends on the element's number alone.
Run run(const OpRow& row, const Sample& sample) {
  const Tensors inputs = tensors(sample, true);
  mnemo::manual_seed(5);
  const Tensor y = row.op(inputs);
  Run result{y.array(), {}};
  if (y.requires_grad()) {
    std::vector<double> upstream(static_cast<std::size_t>(y.numel()));
    for (std::size_t i = 0; i < upstream.size(); ++i) upstream[i] = std::sin(1.0 + 3.0 * static_cast<double>(i));
    y.backward(Tensor(Array::from(upstream, y.shape(), y.device()).to(y.dtype())));
  }
  for (const Tensor& input : inputs) result.gradients.push_back(input.grad().array());
  return result;
}

double weighted(const Array& y) {
  const auto values = y.values<double>();
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * std::sin(1.0 + 3.0 * static_cast<double>(i));
  return sum;
}

/// Central differences of the same weighted sum, one input element at a time.
std::vector<double> numeric_gradient(const OpRow& row, const Sample& sample, std::size_t input) {
  constexpr double kEps = 1e-6;
  const std::vector<double> values = sample.arrays[input].values<double>();
  std::vector<double> gradient(values.size());
  const auto at = [&](std::size_t i, double value) {
    std::vector<double> moved = values;
    moved[i] = value;
    Sample other = sample;
    other.arrays[input] = Array::from(moved, sample.arrays[input].shape(), "cpu");
    mnemo::manual_seed(5);
    return weighted(row.op(tensors(other, false)).array());
  };
  for (std::size_t i = 0; i < values.size(); ++i)
    gradient[i] = (at(i, values[i] + kEps) - at(i, values[i] - kEps)) / (2 * kEps);
  return gradient;
}

/// The largest |a - b| / (absolute + relative * |b|); at most 1 is good.
double distance(const std::vector<double>& a, const std::vector<double>& b, double absolute, double relative) {
  if (a.size() != b.size()) return 1e300;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double error = std::abs(a[i] - b[i]) / (absolute + relative * std::abs(b[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

bool same_bits(const Array& a, const Array& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  const Array left = a.contiguous(), right = b.contiguous();
  const auto bytes = static_cast<std::size_t>(left.bytes());
  const auto start = [](const Array& x) { return x.storage()->data() + x.layout().offset * size_of(x.dtype()); };
  return left.shape() == right.shape() && (bytes == 0 || std::memcmp(start(left), start(right), bytes) == 0);
}

bool same_bits(const Run& a, const Run& b) {
  bool same = same_bits(a.value, b.value);
  for (std::size_t i = 0; i < a.gradients.size(); ++i) same = same && same_bits(a.gradients[i], b.gradients[i]);
  return same;
}

/// The same for arrays of a device whose memory the host cannot read.
bool same_values(const Array& a, const Array& b) {
  return a.defined() == b.defined() && (!a.defined() || same_bits(a.to(Device("cpu")), b.to(Device("cpu"))));
}

void check_values(const OpRow& row, const Sample& sample, const Run& result) {
  Plains inputs;
  for (const Array& array : sample.arrays) inputs.push_back(plain(array));
  const Plain expected = row.reference(inputs);
  CHECK(sizes_of(result.value.shape()) == expected.sizes);
  CHECK(distance(result.value.values<double>(), expected.values, 1e-12, 1e-12) <= 1);
}

void check_gradients(const Sample& sample, const Run& result, const std::vector<std::vector<double>>& expected) {
  for (std::size_t i = 0; i < sample.arrays.size(); ++i) {
    CAPTURE(i);
    CHECK(result.gradients[i].defined() == sample.differentiable[i]);
    if (!result.gradients[i].defined()) continue;
    CHECK(result.gradients[i].shape() == sample.arrays[i].shape());
    CHECK(distance(result.gradients[i].values<double>(), expected[i], 1e-6, 1e-5) <= 1);
  }
}

std::vector<std::vector<double>> numeric_gradients(const OpRow& row, const Sample& sample, const Run& analytic) {
  std::vector<std::vector<double>> result(sample.arrays.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (analytic.gradients[i].defined()) result[i] = numeric_gradient(row, sample, i);
  }
  return result;
}

/// Whether no input looks different in this form.
bool is_idle(const OpRow& row, Form form) {
  bool idle = form == Form::channels_last;
  for (const Input& input : row.inputs) idle = idle && input.shape.rank() < 3;
  return idle;
}

void check_forms(const OpRow& row) {
  const Sample base = sample(row, row.inputs, "cpu");
  std::vector<std::vector<double>> numeric;
  for (const Form form : kForms) {
    if (is_idle(row, form)) continue;
    CAPTURE(name(form));
    const Sample inputs = changed(base, [&](const Array& x) { return in_form(x, form); });
    const Run result = run(row, inputs);
    check_values(row, inputs, result);
    // Transposed, channels-last and sliced inputs have the values of the contiguous ones, and so their gradient.
    if (form == Form::contiguous || form == Form::expanded) numeric = numeric_gradients(row, inputs, result);
    if (form != Form::expanded || row.smooth_expanded) check_gradients(inputs, result, numeric);
    CHECK(same_bits(result, run(row, inputs)));
  }
}

/// Narrow types against float64 on the same (rounded) inputs.
void check_dtypes(const OpRow& row) {
  struct Narrow {
    DType dtype;
    double tolerance;
  };
  for (const Narrow& type :
       {Narrow{DType::float32, 2e-6}, Narrow{DType::float16, 4e-3}, Narrow{DType::bfloat16, 3e-2}}) {
    const DType dtype = type.dtype;
    const double tolerance = type.tolerance;
    CAPTURE(std::string(mnemo::name(dtype)));
    const Sample narrow = changed(sample(row, row.inputs, "cpu"), [&](const Array& x) { return x.to(dtype); });
    const Sample wide = changed(narrow, [](const Array& x) { return x.to(DType::float64); });
    const Run low = run(row, narrow), high = run(row, wide);
    // Sums of a few products of numbers around 2: errors are relative to the largest value of the result.
    const auto scale = [](const Array& x) {
      double largest = 1;
      for (const double value : x.values<double>()) largest = std::max(largest, std::abs(value));
      return largest;
    };
    CHECK(low.value.shape() == high.value.shape());
    CHECK(distance(low.value.values<double>(), high.value.values<double>(), tolerance * scale(high.value), tolerance) <=
          1);
    for (std::size_t i = 0; i < low.gradients.size(); ++i) {
      if (!high.gradients[i].defined()) continue;
      CHECK(low.gradients[i].dtype() == dtype);
      if (dtype != DType::float32 && !row.smooth_in_half) continue;
      CHECK(distance(low.gradients[i].values<double>(), high.gradients[i].values<double>(),
                     4 * tolerance * scale(high.gradients[i]), tolerance) <= 1);
    }
  }
}

void check_threads(const OpRow& row) {
  const Sample inputs = changed(sample(row, row.large.empty() ? row.inputs : row.large, "cpu"),
                                [](const Array& x) { return x.to(DType::float32); });
  const int before = mnemo::thread_count();
  Run results[3];
  for (int threads = 1; threads <= 3; ++threads) {
    mnemo::set_thread_count(threads);
    results[threads - 1] = run(row, inputs);
  }
  mnemo::set_thread_count(before);
  CHECK(same_bits(results[0], results[1]));
  CHECK(same_bits(results[0], results[2]));
}

struct Footprint {
  std::vector<Index> shapes;
  std::vector<std::int64_t> bytes;
  bool convolves = false;
};

Footprint footprint(const OpRow& row, const char* device_name, Form form, DType dtype) {
  const Device device = Device::open(device_name);
  const Sample inputs = changed(sample(row, row.large.empty() ? row.inputs : row.large, device),
                                [&](const Array& x) { return in_form(x.to(dtype), form); });
  Footprint result;
  {
    const Run run_ = run(row, inputs);
    result.shapes.push_back(sizes_of(run_.value.shape()));
    for (const Array& gradient : run_.gradients)
      result.shapes.push_back(gradient.defined() ? sizes_of(gradient.shape()) : Index{-1});
    result.bytes = {device.allocator().allocated()};
    result.convolves = device.backend().conv_passes() > 0;
  }
  const mnemo::memory::Statistics statistics = device.allocator().statistics();
  for (const auto& stat : {statistics.allocated_bytes.all, statistics.reserved_bytes.all}) {
    result.bytes.insert(result.bytes.end(), {stat.current, stat.peak, stat.allocated});
  }
  return result;
}

void check_footprint(const OpRow& row) {
  for (const Form form : kForms) {
    if (is_idle(row, form)) continue;
    CAPTURE(name(form));
    for (const DType dtype : {DType::float64, DType::float16}) {
      const Footprint real = footprint(row, "cpu", form, dtype), imitated = footprint(row, "virtual:cpu", form, dtype);
      CHECK(real.shapes == imitated.shapes);
      CHECK(real.bytes == imitated.bytes);
    }
  }
}

/// The GPU against the CPU on the same inputs, in every form and dtype, twice with the same bits.
void check_cuda(const OpRow& row, const Device& device) {
  struct Allowed {
    DType dtype;
    double tolerance;
  };
  const auto scale = [](const Array& x) {
    double largest = 1;
    for (const double value : x.values<double>()) largest = std::max(largest, std::abs(value));
    return largest;
  };
  // A result in a half type may be rounded to the neighbour of what the CPU has: an error of one last place.
  for (const Allowed& type : {Allowed{DType::float64, 1e-12}, Allowed{DType::float32, 2e-6},
                              Allowed{DType::float16, 2e-3}, Allowed{DType::bfloat16, 2e-2}}) {
    for (const Form form : kForms) {
      if (is_idle(row, form)) continue;
      CAPTURE(std::string(mnemo::name(type.dtype)));
      CAPTURE(name(form));
      const auto inputs = [&](const Device& on) {
        return changed(sample(row, row.inputs, on), [&](const Array& x) { return in_form(x.to(type.dtype), form); });
      };
      const Run expected = run(row, inputs("cpu")), result = run(row, inputs(device));
      const auto compare = [&](const Array& a, const Array& b) {
        CHECK(a.defined() == b.defined());
        if (!a.defined() || !b.defined()) return;
        CHECK(a.shape() == b.shape());
        CHECK(a.dtype() == b.dtype());
        CHECK(distance(a.values<double>(), b.values<double>(), type.tolerance * scale(b), type.tolerance) <= 1);
      };
      compare(result.value, expected.value);
      const bool compares_gradients = !mnemo::is_half(type.dtype) || (row.smooth_in_half && row.smooth_expanded);
      for (std::size_t i = 0; i < result.gradients.size() && compares_gradients; ++i) {
        CAPTURE(i);
        compare(result.gradients[i], expected.gradients[i]);
      }
      const Run again = run(row, inputs(device));
      CHECK(same_values(result.value, again.value));
      for (std::size_t i = 0; i < result.gradients.size(); ++i)
        CHECK(same_values(result.gradients[i], again.gradients[i]));
    }
  }
}

/// The bytes of the GPU against those of the virtual device of its card. Convolutions that cuDNN decides on for that one
/// can only be compared where the GPU has it too.
void check_cuda_footprint(const OpRow& row) {
  const std::string twin = virtual_twin();
  if (twin.empty()) return;
  const auto cudnn_of = [](const Device& device) { return device.backend().decisions().cudnn(); };
  const bool decides_alike = cudnn_of(*cuda_device()) == cudnn_of(Device(twin));
  for (const DType dtype : {DType::float32, DType::float16}) {
    const Footprint real = footprint(row, "cuda", Form::contiguous, dtype);
    if (real.convolves && !decides_alike) continue;
    const Footprint imitated = footprint(row, twin.c_str(), Form::contiguous, dtype);
    CHECK(real.shapes == imitated.shapes);
    CHECK(real.bytes == imitated.bytes);
  }
}

/// MNEMO_TEST_ROWS=cuda leaves out what other runs check.
bool only_cuda() {
  const char* rows = std::getenv("MNEMO_TEST_ROWS");  // NOLINT(concurrency-mt-unsafe): only read
  return rows != nullptr && std::string_view(rows) == "cuda";
}

}  // namespace

void check(const std::vector<OpRow>& rows) {
  const auto cuda = cuda_device();
  for (const OpRow& row : rows) {
    CAPTURE(row.name);
    if (!only_cuda()) {
      check_forms(row);
      check_dtypes(row);
      check_threads(row);
      check_footprint(row);
    }
    if (cuda) {
      check_cuda(row, *cuda);
      check_cuda_footprint(row);
    }
  }
}

}  // namespace rows
