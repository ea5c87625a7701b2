#include <mnemo/nn/data.h>

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include <mnemo/core/error.h>
#include <mnemo/core/families.h>

namespace mnemo::nn {

namespace {

void check_at_least_one(const char* what, std::int64_t value) {
  if (value < 1) fail<ShapeError>("BatchSampler", fmt::format("{} is {}, it must be at least 1", what, value));
}

/// A random order of `items`, by one random number each (Fisher and Yates).
template <class T>
void shuffle(std::vector<T>& items) {
  const std::vector<double> numbers =
      rand({static_cast<std::int64_t>(items.size())}, {.dtype = DType::float64, .device = "cpu"}).values<double>();
  for (std::size_t i = items.size(); i > 1; --i) {
    const auto other = static_cast<std::size_t>(numbers[i - 1] * static_cast<double>(i));
    std::swap(items[i - 1], items[std::min(other, i - 1)]);
  }
}

}  // namespace

BatchSampler::BatchSampler(std::vector<std::int64_t> sizes, const SamplerOptions& options)
    : sizes_(std::move(sizes)), options_(options) {
  check_at_least_one("batch", options.batch);
  check_at_least_one("bucket", options.bucket);
  check_at_least_one("multiple", options.multiple);
  for (const std::int64_t size : sizes_) {
    if (size < 0) fail<ShapeError>("BatchSampler", fmt::format("a sample has size {}", size));
  }
}

std::int64_t BatchSampler::batches() const {
  const auto samples = static_cast<std::int64_t>(sizes_.size());
  return options_.drop_last ? samples / options_.batch : (samples + options_.batch - 1) / options_.batch;
}

std::vector<std::int64_t> BatchSampler::ordered() const {
  using Order = SamplerOptions::Order;
  std::vector<std::int64_t> order(sizes_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto size = [this](std::int64_t sample) { return sizes_[static_cast<std::size_t>(sample)]; };
  const auto smaller = [&](std::int64_t a, std::int64_t b) { return size(a) < size(b); };
  const auto larger = [&](std::int64_t a, std::int64_t b) { return size(a) > size(b); };
  if (options_.order == Order::shuffled) shuffle(order);
  if (options_.order == Order::ascending) std::stable_sort(order.begin(), order.end(), smaller);
  if (options_.order == Order::descending) std::stable_sort(order.begin(), order.end(), larger);
  const bool sorted = options_.order == Order::ascending || options_.order == Order::descending;
  if (options_.bucket == 1 || sorted) return order;
  const auto length = static_cast<std::size_t>(options_.bucket * options_.batch);
  for (std::size_t begin = 0; begin < order.size(); begin += length) {
    const std::size_t end = std::min(order.size(), begin + length);
    std::stable_sort(order.begin() + static_cast<std::ptrdiff_t>(begin),
                     order.begin() + static_cast<std::ptrdiff_t>(end), smaller);
  }
  return order;
}

SampleBatch BatchSampler::cut(std::span<const std::int64_t> samples) const {
  SampleBatch batch{{samples.begin(), samples.end()}, 0};
  for (const std::int64_t sample : samples) batch.size = std::max(batch.size, sizes_[static_cast<std::size_t>(sample)]);
  batch.size = (batch.size + options_.multiple - 1) / options_.multiple * options_.multiple;
  return batch;
}

std::vector<SampleBatch> BatchSampler::epoch() const {
  const std::vector<std::int64_t> order = ordered();
  const auto length = static_cast<std::size_t>(options_.batch);
  std::vector<SampleBatch> list;
  for (std::size_t begin = 0; begin < order.size(); begin += length) {
    const std::size_t count = std::min(length, order.size() - begin);
    if (count == length || !options_.drop_last) list.push_back(cut(std::span(order).subspan(begin, count)));
  }
  // Sorted within its bucket, the order of the batches would say their sizes; it is random again.
  if (options_.bucket > 1 && options_.order == SamplerOptions::Order::shuffled) shuffle(list);
  if (!options_.largest_first || list.empty()) return list;
  const auto elements = [](const SampleBatch& batch) {
    return batch.size * static_cast<std::int64_t>(batch.samples.size());
  };
  const auto largest = std::max_element(
      list.begin(), list.end(), [&](const SampleBatch& a, const SampleBatch& b) { return elements(a) < elements(b); });
  std::rotate(list.begin(), largest, largest + 1);
  return list;
}

Tensor padded(std::span<const Tensor> samples, std::int64_t size, double value) {
  if (samples.empty()) fail<ShapeError>("padded", "no samples given");
  const Tensor& first = samples.front();
  if (first.rank() == 0) fail<ShapeError>("padded", "a sample is a single number, it has no length");
  Dims sizes{static_cast<std::int64_t>(samples.size())};
  for (int axis = 0; axis + 1 < first.rank(); ++axis) sizes.push_back(first.size(axis));
  sizes.push_back(size);
  const int last = first.rank() - 1;
  for (const Tensor& sample : samples) {
    const bool same = sample.rank() == first.rank() && sample.shape().with(last, 0) == first.shape().with(last, 0);
    if (!same || sample.size(last) > size) {
      fail<ShapeError>("padded", fmt::format("sample {} does not fit into {}, of which it is to be one",
                                             sample.shape().text(), Shape(sizes).text()));
    }
    if (sample.dtype() != first.dtype())
      fail<DTypeError>("padded", fmt::format("samples are {} and {}", name(first.dtype()), name(sample.dtype())));
  }
  const NoGradScope no_grad;
  const memory::PhaseScope phase(memory::Phase::data);
  const memory::CategoryScope category(memory::Category::input);
  const Array batch = mnemo::full(Shape(sizes), value, first.dtype(), first.device());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const Array place = batch.slice(0, at, at + 1).squeeze(0).slice(last, 0, samples[i].size(last));
    if (place.numel() > 0) copy_into(samples[i].array(), place);
  }
  return Tensor(batch);
}

}  // namespace mnemo::nn
