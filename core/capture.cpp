#include <mnemo/core/capture.h>

#include <utility>

#include <mnemo/core/backend.h>
#include <mnemo/core/families.h>
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
  clock_ = full({2}, 0, DType::int64, device);
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
    backend.end_capture();
    counts_.clear();
    set_random_state(begin_);  // the step did not happen
    throw;
  }
  work_ = backend.end_capture();
  end_ = random_state();
}

bool Capture::is_repeatable() const { return work_ != nullptr && random_state().seed == begin_.seed; }

void Capture::repeat() {
  const std::uint64_t words = end_.offset - begin_.offset;
  std::int64_t clock[2] = {repeated_, 0};
  if (repeated_ > 0) {
    // The recording has taken its own numbers already; a repetition takes as many from where the stream is now.
    const RandomState now = take_random(static_cast<std::int64_t>(words));
    clock[1] = static_cast<std::int64_t>(now.offset - begin_.offset);
    for (const auto& count : counts_) count();
  }
  device().backend().write(clock, clock_);
  device().backend().repeat(work_.get());
  ++repeated_;
}

}  // namespace mnemo
