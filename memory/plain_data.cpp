#include <mnemo/memory/plain_data.h>

#include <bit>

namespace mnemo::memory {
namespace {

constexpr PlainId kFirstSmall = 3;  // after none, false and true come the numbers from 0 to 255, which are shared

}  // namespace

PlainData::PlainData(std::string texts) : texts_(std::move(texts)) {
  values_ = {{Kind::none, 0, 0}, {Kind::boolean, 0, 0}, {Kind::boolean, 0, 1}};
  for (std::uint64_t number = 0; number < 256; ++number) values_.push_back({Kind::number, 0, number});
}

PlainId PlainData::add(Value value) {
  values_.push_back(value);
  return static_cast<PlainId>(values_.size() - 1);
}

double PlainData::real(PlainId id) const { return std::bit_cast<double>(values_[id].payload); }

std::span<const PlainId> PlainData::items(PlainId id) const {
  const std::uint64_t index = values_[id].payload;
  if (index == 0) return {};
  return containers_[index - 1];
}

PlainId PlainData::add_number(std::int64_t value) {
  if (value >= 0 && value < 256) return kFirstSmall + static_cast<PlainId>(value);
  return add({Kind::number, 0, static_cast<std::uint64_t>(value)});
}

PlainId PlainData::add_real(double value) { return add({Kind::real, 0, std::bit_cast<std::uint64_t>(value)}); }

PlainId PlainData::add_text(std::size_t offset, std::size_t size) {
  return add({Kind::text, static_cast<std::uint32_t>(size), offset});
}

PlainId PlainData::add_text(std::string_view text) {
  const std::size_t offset = texts_.size();
  texts_ += text;
  return add_text(offset, text.size());
}

PlainId PlainData::add_container(Kind kind) { return add({kind, 0, 0}); }

void PlainData::append(PlainId container, std::span<const PlainId> items) {
  if (items.empty()) return;
  std::uint64_t& index = values_[container].payload;
  if (index == 0) {
    // With just the room that they need: most containers get all of their items at once.
    containers_.emplace_back(items.begin(), items.end());
    index = containers_.size();
    return;
  }
  std::vector<PlainId>& held = containers_[index - 1];
  held.insert(held.end(), items.begin(), items.end());
}

}  // namespace mnemo::memory
