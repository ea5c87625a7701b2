// Saved: the one way in which a gradient closure keeps an array. While it lives, the ledger counts the memory as held
// for backward by the op that saved it; reading it after an in-place change is an error. Inside a checkpointed region
// it keeps nothing but its place there, and reading it has the region run again. Where a stand-in can give the contents
// again, or an OffloadScope moves them to the host, it keeps that instead.
#pragma once

#include <memory>

#include <mnemo/core/array.h>

namespace mnemo {

class Region;
class StandIn;

class Saved {
 public:
  Saved() = default;
  explicit Saved(Array array);
  Saved(Saved&& other) noexcept = default;
  Saved& operator=(Saved&& other) noexcept;
  ~Saved();

  bool defined() const { return array_.defined() || elsewhere_ != nullptr; }
  /// Throws GradError naming the op that saved it when the contents were changed in place since.
  const Array& get() const;
  /// Whether `get` would find the contents unchanged.
  bool is_current() const;
  /// Whether `get` brings the contents back from elsewhere (StandIn), into memory that goes with this.
  bool is_restored() const { return elsewhere_ && elsewhere_->stand_in; }
  /// How many computations `get` needs behind one another (StandIn::depth); 0 where the array is kept.
  int depth() const;

 private:
  friend class Region;
  struct Itself {};
  /// Keeps the array in any case.
  Saved(Array array, Itself);

  /// What is kept instead of the array. Apart: few are, and closures are moved about.
  struct Elsewhere {
    std::shared_ptr<Region> region;  ///< which keeps the array
    std::size_t place = 0;
    std::shared_ptr<StandIn> stand_in;
    Layout layout;  ///< of the array that the stand-in stands for
    DType dtype = DType::float32;
  };
  void keep(Array&& array);

  mutable Array array_;  ///< with a stand-in: once it was read
  std::uint32_t version_ = 0;
  std::unique_ptr<Elsewhere> elsewhere_;
};

/// Keeps `array` only if `wanted`: what a closure would never read stays out of memory.
inline Saved save_if(bool wanted, const Array& array) { return wanted && array.defined() ? Saved(array) : Saved(); }

}  // namespace mnemo
