#include <mnemo/core/capture.h>

#include <utility>

#include <fmt/format.h>

#include <mnemo/core/backend.h>
#include <mnemo/core/error.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

namespace {

Capture*& current_capture() {
  thread_local Capture* capture = nullptr;
  return capture;
}

bool& rehearsal() {
  thread_local bool rehearsal = false;
  return rehearsal;
}

/// The thread's recording, until the end of the scope.
class Recording {
 public:
  explicit Recording(Capture& capture) : before_(current_capture()) { current_capture() = &capture; }
  ~Recording() { current_capture() = before_; }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

 private:
  Capture* before_;
};

}  // namespace

Capture* Capture::current() { return current_capture(); }

Capture::Rehearsal::Rehearsal() : before_(std::exchange(rehearsal(), true)) {}
Capture::Rehearsal::~Rehearsal() { rehearsal() = before_; }
bool Capture::is_rehearsal() { return rehearsal(); }

Capture::Capture(const Device& device) {
  const memory::OpScope op("capture");
  const memory::CategoryScope category(memory::Category::other);
  numbers_ = Array({kNumbers}, DType::int64, device);
}

Array Capture::new_number() {
  if (taken_ == kNumbers)
    fail<GradError>("capture", fmt::format("a recorded step has room for {} numbers that change", kNumbers - 1));
  ++taken_;
  return numbers_.slice(0, taken_ - 1, taken_);
}

void Capture::record(const std::function<void()>& step) {
  Backend& backend = device().backend();
  begin_ = random_state();
  repeated_ = 0;
  backend.begin_capture();
  try {
    const Recording recording(*this);
    step();
  } catch (...) {
    discard();
    throw;
  }
  work_ = backend.end_capture();
  end_ = random_state();
}

/// The step did not happen.
void Capture::discard() {
  prepares_.clear();
  taken_ = 1;
  set_random_state(begin_);
  try {
    device().backend().end_capture();
  } catch (const CudaError&) {  // what failed is being thrown already
  }
}

bool Capture::is_repeatable() const { return work_ != nullptr && random_state().seed == begin_.seed; }

void Capture::repeat() {
  if (const auto taken = static_cast<std::int64_t>(end_.offset - begin_.offset); taken > 0) {
    // The recording has taken its own numbers already; a repetition takes as many from where the stream is now.
    const RandomState now = repeated_ > 0 ? take_random(taken) : begin_;
    const auto shift = static_cast<std::int64_t>(now.offset - begin_.offset);
    device().backend().write(&shift, random_shift());
  }
  for (const OnRepeat& prepare : prepares_) prepare(repeated_);
  device().backend().repeat(work_.get());
  ++repeated_;
}

}  // namespace mnemo
