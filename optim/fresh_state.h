// FreshState: state of an optimizer that came into its place for something that may yet fail. Private.
#pragma once

#include <utility>
#include <vector>

#include <mnemo/core/array.h>

namespace mnemo::optim {

/// State that was lacking, put into its place; it goes again unless it is kept.
class FreshState {
 public:
  explicit FreshState(std::vector<std::pair<Array*, Array>> fresh) : fresh_(std::move(fresh)) {
    for (const auto& [place, zeros] : fresh_) *place = zeros;
  }
  ~FreshState() {
    if (kept_) return;
    for (const auto& [place, zeros] : fresh_) *place = {};
  }
  FreshState(const FreshState&) = delete;
  FreshState& operator=(const FreshState&) = delete;

  void keep() { kept_ = true; }

 private:
  std::vector<std::pair<Array*, Array>> fresh_;
  bool kept_ = false;
};

}  // namespace mnemo::optim
