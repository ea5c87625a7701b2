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

/// True while a checkpointed part of the program runs again for backward: what counts how often it was run (batch
/// normalization's running statistics) leaves this time out.
bool recomputing();

/// Records, and says that this is not the first time.
class RecomputingScope {
 public:
  RecomputingScope();
  ~RecomputingScope();
  RecomputingScope(const RecomputingScope&) = delete;
  RecomputingScope& operator=(const RecomputingScope&) = delete;

 private:
  GradModeScope recording_{true};
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
