// Whether operations on this thread record themselves for backward.
#pragma once

namespace mnemo {

/// True at first; false inside a NoGradScope and while gradients are computed.
bool grad_enabled();

/// Sets recording on or off until the end of the scope.
class GradModeScope {
 public:
  explicit GradModeScope(bool enabled);
  ~GradModeScope();
  GradModeScope(const GradModeScope&) = delete;
  GradModeScope& operator=(const GradModeScope&) = delete;

 private:
  bool before_;
};

/// Nothing in the scope is recorded, so no activation is kept.
class NoGradScope : public GradModeScope {
 public:
  NoGradScope() : GradModeScope(false) {}
};

/// Calls `f` without recording and returns what it returns.
template <class F>
decltype(auto) no_grad(F&& f) {
  const NoGradScope scope;
  return f();
}

}  // namespace mnemo
