#include <mnemo/core/planning/conv_trace.h>

#include <utility>

#include <mnemo/core/backend.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

namespace {

thread_local ConvTrace* current = nullptr;

}  // namespace

ConvTrace::ConvTrace() : outer_(std::exchange(current, this)) {}
ConvTrace::~ConvTrace() { current = outer_; }

void ConvTrace::note(const ConvCall& call) {
  if (current == nullptr) return;
  current->entries_.push_back({call.problem, call.pass, call.layout, call.plan, memory::current_tag().module});
}

}  // namespace mnemo
