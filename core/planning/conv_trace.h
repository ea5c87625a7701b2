// ConvTrace: which convolutions a program runs, with the plans that were taken.
#pragma once

#include <vector>

#include <mnemo/core/conv.h>

namespace mnemo {

struct ConvCall;

/// Writes down every pass that this thread runs for as long as it lives; a pass that is cut shows as its pieces.
class ConvTrace {
 public:
  struct Entry {
    ConvProblem problem;
    ConvPass pass;
    ConvLayout layout;
    ConvPlan plan;
    const char* module;  ///< path of the layer, or ""
  };

  ConvTrace();
  ~ConvTrace();
  ConvTrace(const ConvTrace&) = delete;
  ConvTrace& operator=(const ConvTrace&) = delete;

  const std::vector<Entry>& entries() const { return entries_; }
  void clear() { entries_.clear(); }

  /// For the family: the call goes to the innermost trace of this thread, if there is one.
  static void note(const ConvCall& call);

 private:
  ConvTrace* outer_;
  std::vector<Entry> entries_;
};

}  // namespace mnemo
