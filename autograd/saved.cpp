#include <mnemo/autograd/saved.h>

#include <fmt/format.h>

#include <mnemo/core/error.h>

namespace mnemo {

Saved::Saved(Array array) : array_(std::move(array)), version_(array_.storage()->version()) {
  array_.storage()->hold_for_backward();
}

Saved& Saved::operator=(Saved&& other) noexcept {
  std::swap(array_, other.array_);
  std::swap(version_, other.version_);
  return *this;
}

Saved::~Saved() {
  if (array_.defined()) array_.storage()->release_from_backward();
}

const Array& Saved::get() const {
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
