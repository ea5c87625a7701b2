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

void Saved::keep(Array&& array) {
  if (std::shared_ptr<StandIn> stand_in = stand_in_for(array)) {
    elsewhere_ = std::make_unique<Elsewhere>();
    elsewhere_->stand_in = std::move(stand_in);
    elsewhere_->layout = array.layout();
    elsewhere_->dtype = array.dtype();
    return;
  }
  array_ = std::move(array);
  version_ = array_.storage()->version();
  array_.storage()->hold_for_backward();
}

Saved::Saved(Array array, Itself) { keep(std::move(array)); }

Saved::Saved(Array array) {
  Region* region = Region::current();
  if (region == nullptr) {
    keep(std::move(array));
    return;
  }
  auto elsewhere = std::make_unique<Elsewhere>();
  if (const auto place = region->save(array)) {
    elsewhere->region = region->shared_from_this();
    elsewhere->place = *place;
    elsewhere_ = std::move(elsewhere);
  }
}

Saved& Saved::operator=(Saved&& other) noexcept {
  std::swap(array_, other.array_);
  std::swap(version_, other.version_);
  std::swap(elsewhere_, other.elsewhere_);
  return *this;
}

Saved::~Saved() {
  if (!elsewhere_) {
    if (array_.defined()) array_.storage()->release_from_backward();
  } else if (elsewhere_->region) {
    elsewhere_->region->drop(elsewhere_->place);
  } else if (array_.defined()) {
    array_ = {};
    elsewhere_->stand_in->release();
  }
}

bool Saved::is_current() const {
  if (elsewhere_ && elsewhere_->region) return elsewhere_->region->get(elsewhere_->place).defined();
  if (elsewhere_) return elsewhere_->stand_in->is_current();
  return array_.defined() && array_.storage()->version() == version_;
}

int Saved::depth() const { return is_restored() ? elsewhere_->stand_in->depth() : 0; }

const Array& Saved::get() const {
  if (elsewhere_ && elsewhere_->region) return elsewhere_->region->get(elsewhere_->place);
  if (elsewhere_) {
    if (array_.defined()) return array_;
    array_ = Array(elsewhere_->stand_in->acquire(), elsewhere_->layout, elsewhere_->dtype);
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
