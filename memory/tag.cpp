#include <mnemo/memory/tag.h>

#include <mutex>
#include <string>
#include <unordered_set>

namespace mnemo::memory {

const char* name(Category category) {
  switch (category) {
    case Category::parameter:
      return "parameter";
    case Category::gradient:
      return "gradient";
    case Category::optimizer_state:
      return "optimizer_state";
    case Category::saved_activation:
      return "saved_activation";
    case Category::live_activation:
      return "live_activation";
    case Category::temporary:
      return "temporary";
    case Category::workspace:
      return "workspace";
    case Category::input:
      return "input";
    case Category::other:
      return "other";
  }
  return "other";
}

const char* name(Phase phase) {
  switch (phase) {
    case Phase::setup:
      return "setup";
    case Phase::data:
      return "data";
    case Phase::forward:
      return "forward";
    case Phase::backward:
      return "backward";
    case Phase::optimizer:
      return "optimizer";
  }
  return "setup";
}

const char* intern(std::string_view text) {
  // Never destroyed: blocks that outlive main may still point here.
  static auto& mutex = *new std::mutex;
  static auto& texts = *new std::unordered_set<std::string>;
  const std::lock_guard lock(mutex);
  return texts.emplace(text).first->c_str();
}

const char* range_text(std::int64_t step) { return intern("step " + std::to_string(step)); }

}  // namespace mnemo::memory
