// Families that work on channels, windows and lines: the device "cuda" against the CPU, which others compare with the
// definitions.
#include <doctest/doctest.h>

#include <tuple>

#include <core/numbers.h>
#include <cuda_device.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/families.h>

using namespace mnemo;
using namespace numbers;

namespace {

/// The same elements on the device.
Array there(const Array& array) {
  if (!array.defined()) return {};
  const Array copy(array.shape(), array.dtype(), *cuda_device());
  copy.device().backend().write(array.storage()->data(), copy);
  return copy;
}

/// The elements of an array of the device, and of one of the host.
Array here(const Array& array) {
  if (array.device() == Device("cpu")) return array;
  const Array copy = unwritten(array.shape(), array.dtype());
  array.device().backend().read(array, copy.storage()->data());
  return copy;
}

/// The largest difference, in units of `slack` plus what rounding allows; NaN equals NaN.
double distance(const Array& device, const Array& host, double slack) {
  if (!device.defined() && !host.defined()) return 0;
  const auto a = here(device).values<double>(), b = host.values<double>();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if ((std::isnan(a[i]) && std::isnan(b[i])) || a[i] == b[i]) continue;
    const double difference = std::abs(a[i] - b[i]) / (slack + 2.02 * rounding(host.dtype()) * std::abs(b[i]));
    worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(worst, difference);
  }
  return worst;
}

DType statistics_dtype(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

/// Runs both directions of batch normalization on both devices.
void compare_normalize(std::int64_t batch, std::int64_t channels, std::int64_t inner, DType dtype, DType parameters,
                       int variant, Generator& random) {
  CAPTURE(batch);
  CAPTURE(channels);
  CAPTURE(inner);
  CAPTURE(std::string(name(dtype)));
  CAPTURE(variant);
  const bool training = variant % 2 == 0, affine = variant % 3 != 0, wants_dx = variant % 5 != 1;
  const DType statistics = statistics_dtype(dtype);
  const Shape full{batch, channels, inner}, per_channel{channels};
  const double center = variant % 4 == 0 ? 30 : 0.5, slack = 64 * rounding(statistics) * (1 + center);
  NormalizeCall host;
  host.batch = batch, host.channels = channels, host.inner = inner, host.training = training;
  host.epsilon = 1e-3, host.momentum = 0.3;
  host.x = random.array(full, dtype, center - 1, center + 1);
  if (affine) host.weight = random.array(per_channel, parameters), host.bias = random.array(per_channel, parameters);
  if (!training || variant % 4 != 2) {
    host.running_mean = random.array(per_channel, parameters);
    host.running_variance = random.array(per_channel, parameters, 0.5, 2);
  }
  NormalizeCall device = host;
  device.x = there(host.x), device.weight = there(host.weight), device.bias = there(host.bias);
  device.running_mean = there(host.running_mean), device.running_variance = there(host.running_variance);
  for (NormalizeCall* call : {&host, &device}) {
    const bool second = call == &device;
    const auto empty = [&](const Shape& shape, DType type) {
      return second ? there(unwritten(shape, type)) : unwritten(shape, type);
    };
    call->y = empty(full, dtype), call->mean = empty(per_channel, statistics);
    call->inverse_deviation = empty(per_channel, statistics);
    call->x.device().backend().normalize(*call);
  }
  CHECK(distance(device.mean, host.mean, slack) <= 1);
  CHECK(distance(device.inverse_deviation, host.inverse_deviation, slack) <= 1);
  CHECK(distance(device.running_mean, host.running_mean, slack) <= 1);
  CHECK(distance(device.running_variance, host.running_variance, slack) <= 1);
  CHECK(distance(device.y, host.y, slack * (1 + (batch * inner == 1 ? 30 : 0))) <= 1);

  NormalizeGradientCall back;
  back.batch = batch, back.channels = channels, back.inner = inner, back.training = training;
  back.grad = random.array(full, dtype), back.x = host.x, back.weight = host.weight;
  back.mean = host.mean, back.inverse_deviation = host.inverse_deviation;
  NormalizeGradientCall back_there = back;
  back_there.grad = there(back.grad), back_there.x = device.x, back_there.weight = device.weight;
  back_there.mean = there(host.mean), back_there.inverse_deviation = there(host.inverse_deviation);
  for (NormalizeGradientCall* call : {&back, &back_there}) {
    const bool second = call == &back_there;
    const auto empty = [&](const Shape& shape, DType type) {
      return second ? there(unwritten(shape, type)) : unwritten(shape, type);
    };
    if (wants_dx) call->dx = empty(full, dtype);
    if (variant % 7 != 3) call->dweight = empty(per_channel, parameters);
    if (variant % 7 != 4) call->dbias = empty(per_channel, parameters);
    call->x.device().backend().normalize_gradient(*call);
  }
  const double scale = 1 + (batch * inner == 1 ? 30 : 0);
  CHECK(distance(back_there.dx, back.dx, slack * scale) <= 1);
  CHECK(distance(back_there.dweight, back.dweight, slack * scale * static_cast<double>(batch * inner)) <= 1);
  // A few half numbers are added in float before they are in double.
  const double few = is_half(dtype) ? 8 * rounding(DType::float32) : 1e-12;
  CHECK(distance(back_there.dbias, back.dbias, few * static_cast<double>(batch * inner)) <= 1);
}

}  // namespace

TEST_CASE("cuda: normalize and its gradient, channels outside and innermost, of any size") {
  if (!cuda_device()) return;
  Generator random(1);
  for (int i = 0; i < 60; ++i) {
    const DType dtype = random.one_of(kFloating);
    const DType parameters = is_half(dtype) && i % 4 == 0 ? dtype : statistics_dtype(dtype);
    const std::int64_t inner = i % 2 == 0 ? 1 : random.integer(0, 12) * random.integer(1, 8);
    compare_normalize(random.integer(1, 40), random.integer(0, 9) * (i % 3 == 0 ? 8 : 1), inner, dtype, parameters, i,
                      random);
  }
  // Wide enough for several units, and long enough that a unit is shared by blocks.
  compare_normalize(300, 520, 1, DType::float16, DType::float32, 2, random);
  compare_normalize(9000, 24, 1, DType::float32, DType::float32, 2, random);
  compare_normalize(9000, 3, 1, DType::bfloat16, DType::float32, 2, random);
  compare_normalize(3, 5, 20000, DType::float32, DType::float32, 2, random);
  compare_normalize(2, 3, 17777, DType::float64, DType::float64, 2, random);
  compare_normalize(1, 1, 1, DType::float32, DType::float32, 2, random);
}

TEST_CASE("cuda: the variance of values far from 0 does not cancel, and two runs give the same bits") {
  if (!cuda_device()) return;
  Generator random(2);
  for (const std::int64_t inner : {std::int64_t{1}, std::int64_t{4000}}) {
    NormalizeCall call;
    call.batch = 4000 / inner * 4, call.channels = 8, call.inner = inner, call.epsilon = 0;
    call.x = there(random.array({call.batch, 8, inner}, DType::float64, 1e9, 1e9 + 1));
    Array first;
    for (int run = 0; run < 2; ++run) {
      call.y = there(unwritten(call.x.shape(), DType::float64));
      call.mean = there(unwritten({8}, DType::float64)), call.inverse_deviation = there(unwritten({8}, DType::float64));
      call.x.device().backend().normalize(call);
      if (run == 0) first = here(call.y);
    }
    CHECK(same_bits(first, here(call.y)));
    double squares = 0;
    for (const double value : here(call.y).values<double>()) squares += value * value;
    CHECK(squares / static_cast<double>(call.x.numel()) == doctest::Approx(1).epsilon(1e-6));
  }
}

namespace {

PoolProblem random_pool(Generator& random) {
  PoolProblem p;
  p.kind = random.integer(0, 1) == 0 ? PoolProblem::Kind::max : PoolProblem::Kind::average;
  p.planes = random.integer(0, 5);
  p.count_include_pad = random.integer(0, 1) == 0;
  const auto rank = static_cast<std::size_t>(random.integer(1, 3));
  for (std::size_t d = 3 - rank; d < 3; ++d) {
    p.kernel[d] = random.integer(1, rank == 1 ? 300 : 4);
    p.padding[d] = random.integer(0, p.kernel[d] / 2);
    p.stride[d] = random.integer(1, 4);
    p.dilation[d] = p.kind == PoolProblem::Kind::max ? random.integer(1, 3) : 1;
    const std::int64_t reach = p.dilation[d] * (p.kernel[d] - 1) + 1;
    p.in[d] = std::max<std::int64_t>(reach - 2 * p.padding[d], 1) + random.integer(0, rank == 1 ? 200 : 8);
    const std::int64_t room = p.in[d] + 2 * p.padding[d] - reach;
    p.out[d] = room / p.stride[d] + 1;
    if (random.integer(0, 1) == 0 && room % p.stride[d] != 0 && p.out[d] * p.stride[d] < p.in[d] + p.padding[d])
      ++p.out[d];
  }
  return p;
}

}  // namespace

TEST_CASE("cuda: pool and its gradient in both layouts; the first of equals and NaN win") {
  if (!cuda_device()) return;
  Generator random(3);
  for (int i = 0; i < 200; ++i) {
    PoolProblem p = random_pool(random);
    // Channels that fill packs of some types or none, and one: row-major.
    p.inner = random.one_of({1, 1, 2, 3, 4, 8, 24, 31});
    // A step that is never taken, but too long for 32 bits.
    for (std::size_t d = 0; d < 3 && i % 4 == 1; ++d) {
      if (p.out[d] == 1) p.stride[d] = std::int64_t{1} << 40;
    }
    CAPTURE(i);
    const DType dtype = random.one_of(kFloating);
    const Shape in{p.planes, p.in[0] * p.in[1] * p.in[2], p.inner};
    const Shape out{p.planes, p.out[0] * p.out[1] * p.out[2], p.inner};
    Array x = random.array(in, dtype);
    if (i % 3 == 0) {  // many equal ones, and other special values
      std::vector<double> values;
      const double infinity = std::numeric_limits<double>::infinity();
      for (std::int64_t e = 0; e < in.numel(); ++e)
        values.push_back(random.one_of({0.0, 1.0, 2.0, -infinity, i % 2 == 0 ? 1.0 : std::nan("")}));
      x = Array::from<double>(values, in, "cpu").to(dtype);
    }
    const Array y = unwritten(out, dtype), grad = random.array(out, dtype), dx = unwritten(in, dtype);
    Array offsets;
    if (p.kind == PoolProblem::Kind::max) offsets = unwritten(out, p.offset_dtype());
    Device("cpu").backend().pool(p, x, y, offsets);
    const Array y_there = there(unwritten(out, dtype)), dx_there = there(unwritten(in, dtype));
    Array offsets_there;
    if (offsets.defined()) offsets_there = there(unwritten(out, p.offset_dtype()));
    Backend& backend = cuda_device()->backend();
    backend.pool(p, there(x), y_there, offsets_there);
    if (offsets.defined()) {
      CHECK(distance(y_there, y, 0) == 0);
      CHECK(distance(offsets_there, offsets, 0) == 0);
    } else {
      CHECK(distance(y_there, y, 300 * rounding(statistics_dtype(dtype))) <= 1);
    }
    Device("cpu").backend().pool_gradient(p, grad, offsets, dx);
    backend.pool_gradient(p, there(grad), there(offsets), dx_there);
    CHECK(distance(dx_there, dx, 300 * rounding(statistics_dtype(dtype))) <= 1);
  }
}

TEST_CASE("cuda: softmax, cross entropy and their gradients, lines of any length and distance") {
  if (!cuda_device()) return;
  Generator random(4);
  Backend &host = Device("cpu").backend(), &device = cuda_device()->backend();
  for (int i = 0; i < 60; ++i) {
    const std::int64_t outer = i == 57 ? 34000 : random.integer(0, 6);  // so many that each thread takes a line
    const std::int64_t inner = i % 2 == 0 || i == 57 ? 1 : random.integer(1, 40);
    std::int64_t size = i == 57       ? 10
                        : i % 10 == 9 ? random.integer(1000, 3000)
                                      : random.integer(1, i % 3 == 0 ? 5 : 200);
    if (i % 4 == 2) size *= 8;  // whole packs
    CAPTURE(outer);
    CAPTURE(size);
    CAPTURE(inner);
    const DType dtype = random.one_of(kFloating);
    CAPTURE(std::string(name(dtype)));
    const Shape shape{outer, size, inner}, losses_shape{outer, inner};
    const double slack = 16 * rounding(statistics_dtype(dtype));
    const Array x = random.array(shape, dtype, -8, 8), grad = random.array(shape, dtype);
    for (const bool logarithm : {false, true}) {
      const SoftmaxCall call{outer, size, inner, logarithm};
      const Array y = unwritten(shape, dtype), dx = unwritten(shape, dtype);
      const Array y_there = there(unwritten(shape, dtype)), dx_there = there(unwritten(shape, dtype));
      host.softmax(call, x, y);
      device.softmax(call, there(x), y_there);
      CHECK(distance(y_there, y, (logarithm ? 16 : 1) * slack) <= 1);
      host.softmax_gradient(call, grad, y, dx);
      device.softmax_gradient(call, there(grad), there(y), dx_there);
      CHECK(distance(dx_there, dx, slack * 30) <= 1);
    }
    CrossEntropyCall call;
    call.outer = outer, call.classes = size, call.inner = inner;
    call.label_smoothing = i % 3 == 1 ? 0.2 : 0;
    call.ignore_index = i % 4 == 0 ? 0 : -100;
    call.scale = i % 2 == 0 ? 1 : 0.125;
    std::vector<std::int64_t> classes;
    for (std::int64_t e = 0; e < outer * inner; ++e)
      classes.push_back(random.integer(0, 5) == 0 ? call.ignore_index : random.integer(0, size - 1));
    const Array targets = Array::from<std::int64_t>(classes, losses_shape, "cpu");
    const DType wide = statistics_dtype(dtype);
    const Array weights = random.array(losses_shape, wide);
    const Array losses = unwritten(losses_shape, wide), dlogits = unwritten(shape, dtype);
    const Array losses_there = there(losses), dlogits_there = there(dlogits);
    host.cross_entropy(call, x, targets, losses);
    device.cross_entropy(call, there(x), there(targets), losses_there);
    CHECK(distance(losses_there, losses, 16 * slack) <= 1);
    host.cross_entropy_gradient(call, weights, x, targets, dlogits);
    device.cross_entropy_gradient(call, there(weights), there(x), there(targets), dlogits_there);
    CHECK(distance(dlogits_there, dlogits, slack) <= 1);
    // One gradient for all losses is the same as that many equal ones.
    const Array one = random.array(Shape{}, wide), all = Array(losses_shape, wide, Device("cpu"));
    copy_into(one.expand(losses_shape), all);
    device.cross_entropy_gradient(call, there(one), there(x), there(targets), dlogits_there);
    const Array repeated = there(unwritten(shape, dtype));
    device.cross_entropy_gradient(call, there(all), there(x), there(targets), repeated);
    CHECK(same_bits(here(dlogits_there), here(repeated)));
  }
}

TEST_CASE("cuda: row_norm and its gradient, rows of any length, numbers of channels side by side or apart") {
  if (!cuda_device()) return;
  Generator random(7);
  Backend &host = Device("cpu").backend(), &device = cuda_device()->backend();
  for (int i = 0; i < 60; ++i) {
    RowNormSizes sizes;
    sizes.inner = i % 20 == 9 ? random.integer(3000, 9000) : i % 2 == 0 ? 1 : random.integer(1, i % 6 == 1 ? 300 : 20);
    const std::int64_t groups = random.integer(1, 3);
    sizes.channels = groups * random.integer(1, 12) * (i % 4 == 2 ? 8 : 1) * (i % 20 == 4 ? 300 : 1);
    sizes.features = sizes.channels / groups * sizes.inner;
    sizes.rows = (i % 15 == 8 ? 2500 : random.integer(0, 6)) * groups;  // so many that blocks share a channel's sums
    CAPTURE(sizes.rows);
    CAPTURE(sizes.features);
    CAPTURE(sizes.channels);
    CAPTURE(sizes.inner);
    const DType dtype = random.one_of(kFloating), wide = statistics_dtype(dtype);
    const DType parameters = i % 3 == 0 ? wide : dtype;
    CAPTURE(std::string(name(dtype)));
    const Shape shape{sizes.rows, sizes.features}, per_channel{sizes.channels}, per_row{sizes.rows};
    const double center = i % 5 == 0 ? 30 : 0.5, slack = 64 * rounding(wide) * (1 + center);
    const Array x = random.array(shape, dtype, center - 1, center + 1), grad = random.array(shape, dtype);
    Array weight, bias;
    if (i % 7 != 3) weight = random.array(per_channel, parameters);
    if (i % 7 > 3) bias = random.array(per_channel, parameters);
    const auto both = [](const Shape& of, DType type) {
      return std::pair(unwritten(of, type), there(unwritten(of, type)));
    };
    const auto [y, y_there] = both(shape, dtype);
    const bool centered = i % 8 < 6;
    CAPTURE(centered);
    Array mean, mean_there;
    if (centered) std::tie(mean, mean_there) = both(per_row, wide);
    const auto [inverse, inverse_there] = both(per_row, wide);
    host.row_norm({sizes, 1e-3, x, weight, bias, y, mean, inverse, centered});
    device.row_norm({sizes, 1e-3, there(x), there(weight), there(bias), y_there, mean_there, inverse_there, centered});
    CHECK(distance(mean_there, mean, slack) <= 1);
    CHECK(distance(inverse_there, inverse, 30 * slack) <= 1);
    CHECK(distance(y_there, y, 30 * slack) <= 1);
    const Array dx = unwritten(shape, dtype), dx_there = there(grad);  // in the gradient's memory
    Array dweight, dweight_there, dbias, dbias_there;
    if (i % 5 != 1) std::tie(dweight, dweight_there) = both(per_channel, parameters);
    if (i % 5 != 2) std::tie(dbias, dbias_there) = both(per_channel, i % 2 == 0 ? parameters : wide);
    host.row_norm_gradient({sizes, grad, x, weight, mean, inverse, dx, dweight, dbias, centered});
    device.row_norm_gradient({sizes, dx_there, there(x), there(weight), there(mean), there(inverse), dx_there,
                              dweight_there, dbias_there, centered});
    CHECK(distance(dx_there, dx, 1000 * slack) <= 1);
    const auto added = static_cast<double>(sizes.rows * sizes.inner);  // most of a channel
    CHECK(distance(dweight_there, dweight, 30 * slack * added) <= 1);
    CHECK(distance(dbias_there, dbias, 8 * rounding(wide) * added) <= 1);
    if (!dbias.defined()) continue;
    // Bias's alone, for which x is not asked: the same sums.
    const Array alone = there(unwritten(per_channel, dbias.dtype()));
    device.row_norm_gradient({sizes, there(grad), {}, {}, {}, {}, {}, {}, alone});
    CHECK(same_bits(here(alone), here(dbias_there)));
  }
}

TEST_CASE("cuda: the loss of a target that is no class, which a recorded step may meet, is NaN") {
  if (!cuda_device()) return;
  Generator random(6);
  const CrossEntropyCall call{3, 5, 1};
  const Array x = random.array({3, 5, 1}, DType::float32), losses = unwritten({3, 1}, DType::float32);
  const Array losses_there = there(losses);
  const Array targets = Array::from<std::int64_t>({1, 1LL << 40, -3}, {3, 1}, "cpu");
  cuda_device()->backend().cross_entropy(call, there(x), there(targets), losses_there);
  const std::vector<double> found = here(losses_there).values<double>();
  CHECK(found[0] > 0);
  CHECK(std::isnan(found[1]));
  CHECK(std::isnan(found[2]));
}

TEST_CASE("cuda: gather and scatter_add, in the order of the index, and the first bad index") {
  if (!cuda_device()) return;
  Generator random(5);
  Backend &host = Device("cpu").backend(), &device = cuda_device()->backend();
  for (int i = 0; i < 60; ++i) {
    const std::int64_t outer = random.integer(1, 3), inner = i % 3 == 0 ? 1 : random.integer(1, 50);
    const std::int64_t size = random.integer(1, 9) * (i % 4 == 0 ? 50 : 1);
    const std::int64_t indices = random.integer(0, i % 5 == 0 ? 1500 : 40);
    CAPTURE(outer);
    CAPTURE(size);
    CAPTURE(inner);
    CAPTURE(indices);
    const DType dtype = random.one_of(kDTypes);
    CAPTURE(std::string(name(dtype)));
    const Shape shape{outer, size, inner}, index_shape{outer, indices, inner};
    std::vector<std::int64_t> numbers;
    for (std::int64_t e = 0; e < index_shape.numel(); ++e) numbers.push_back(random.integer(0, size - 1));
    const Array index = Array::from<std::int64_t>(numbers, index_shape, "cpu");
    const Array x = random.array(shape, dtype, -9, 9), from = random.array(index_shape, dtype, -9, 9);
    const Array out = unwritten(index_shape, dtype), out_there = there(out);
    host.gather(x, 1, index, out);
    device.gather(there(x), 1, there(index), out_there);
    CHECK(same_bits(here(out_there), out));
    const Array sums_there = there(x);  // on top of what is there
    host.scatter_add(from, 1, index, x);
    device.scatter_add(there(from), 1, there(index), sums_there);
    CHECK(same_bits(here(sums_there), x));

    CHECK(device.first_bad_index(there(index), size, 0) == std::nullopt);
    if (numbers.empty()) continue;
    for (int bad = 0; bad < 3; ++bad) {
      const std::int64_t at = random.integer(0, static_cast<std::int64_t>(numbers.size()) - 1);
      numbers[static_cast<std::size_t>(at)] = bad == 1 ? -at - 2 : size + at;
    }
    const Array wrong = Array::from<std::int64_t>(numbers, index_shape, "cpu");
    CHECK(device.first_bad_index(there(wrong), size, -1) == host.first_bad_index(wrong, size, -1));
  }
}
