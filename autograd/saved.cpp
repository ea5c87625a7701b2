#include <mnemo/autograd/saved.h>

#include <fmt/format.h>

#include <mnemo/autograd/region.h>
#include <mnemo/core/error.h>

namespace mnemo {

Saved::Saved(Array array, Itself) : array_(std::move(array)), version_(array_.storage()->version()) {
  array_.storage()->hold_for_backward();
}

Saved::Saved(Array array) {
  Region* region = Region::current();
  if (region == nullptr) {
    *this = Saved(std::move(array), Itself());
  } else if (const auto place = region->save(array)) {
    region_ = region->shared_from_this();
    place_ = *place;
  }
}

Saved::Saved(Saved&& other) noexcept { *this = std::move(other); }

Saved& Saved::operator=(Saved&& other) noexcept {
  std::swap(array_, other.array_);
  std::swap(version_, other.version_);
  std::swap(region_, other.region_);
  std::swap(place_, other.place_);
  return *this;
}

Saved::~Saved() {
  if (array_.defined()) array_.storage()->release_from_backward();
  if (region_) region_->drop(place_);
}

bool Saved::is_current() const {
  if (region_) return region_->get(place_).defined();
  return array_.defined() && array_.storage()->version() == version_;
}

const Array& Saved::get() const {
  if (region_) return region_->get(place_);
  if (array_.defined() && array_.storage()->version() != version_) {
    fail<GradError>(
        memory::current_tag().op,
        fmt::format(
            "a value {} {} that backward needs was changed in place: it is at version {}, saved was version {}; "
            "use the operation that is not in place, or change it after backward()",
            name(array_.dtype()), array_.shape().text(), array_.storage()->version(), version_));
  }
  return array_;
}

}  // namespace mnemo
