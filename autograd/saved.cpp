#include <mnemo/autograd/saved.h>

#include <fmt/format.h>

#include <mnemo/autograd/offload.h>
#include <mnemo/autograd/region.h>
#include <mnemo/autograd/stand_in.h>
#include <mnemo/core/error.h>

namespace mnemo {

namespace {

/// What can give the contents again as they are now, if anything can.
std::shared_ptr<StandIn> stand_in_for(const Array& array) {
  std::shared_ptr<StandIn> known = array.storage()->stand_in().lock();
  if (known && known->version == array.storage()->version()) return known;
  return offloaded(array);
}

}  // namespace

StorageRef StandIn::acquire() {
  if (readers_ == 0) {
    contents_ = restore();
    // As the storage was: a region that runs again compares what its operations read.
    while (contents_->version() < version) contents_->changed_in_place();
  }
  ++readers_;
  return contents_;
}

void StandIn::release() noexcept {
  if (--readers_ == 0) contents_ = {};
}

Saved::Saved(Array array, Itself) {
  stand_in_ = stand_in_for(array);
  if (stand_in_) {
    layout_ = array.layout();
    dtype_ = array.dtype();
    return;
  }
  array_ = std::move(array);
  version_ = array_.storage()->version();
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
  std::swap(stand_in_, other.stand_in_);
  std::swap(layout_, other.layout_);
  std::swap(dtype_, other.dtype_);
  return *this;
}

Saved::~Saved() {
  if (array_.defined() && stand_in_) {
    array_ = {};
    stand_in_->release();
  } else if (array_.defined()) {
    array_.storage()->release_from_backward();
  }
  if (region_) region_->drop(place_);
}

bool Saved::is_current() const {
  if (region_) return region_->get(place_).defined();
  if (stand_in_) return stand_in_->is_current();
  return array_.defined() && array_.storage()->version() == version_;
}

int Saved::depth() const { return stand_in_ ? stand_in_->depth() : 0; }

const Array& Saved::get() const {
  if (region_) return region_->get(place_);
  if (stand_in_) {
    if (array_.defined()) return array_;
    array_ = Array(stand_in_->acquire(), layout_, dtype_);
    return array_;
  }
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
