// Saved: the one way in which a gradient closure keeps an array. While it lives, the ledger counts the memory as held
// for backward by the op that saved it; reading it after an in-place change is an error.
#pragma once

#include <mnemo/core/array.h>

namespace mnemo {

class Saved {
 public:
  Saved() = default;
  explicit Saved(Array array);
  Saved(Saved&& other) noexcept : array_(std::move(other.array_)), version_(other.version_) { other.array_ = {}; }
  Saved& operator=(Saved&& other) noexcept;
  ~Saved();

  bool defined() const { return array_.defined(); }
  /// Throws GradError naming the op that saved it when the contents were changed in place since.
  const Array& get() const;

 private:
  Array array_;
  std::uint32_t version_ = 0;
};

/// Keeps `array` only if `wanted`: what a closure would never read stays out of memory.
inline Saved save_if(bool wanted, const Array& array) { return wanted && array.defined() ? Saved(array) : Saved(); }

}  // namespace mnemo
