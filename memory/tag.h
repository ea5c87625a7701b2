// Why a block is held: category, phase, op, module path and step. Every block carries one Tag;
// scopes on the current thread say what the next allocations are for.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <mnemo/memory/ranges.h>

namespace mnemo::memory {

/// What a block is for. Gradients that flow between nodes during backward are `temporary`;
/// `gradient` is what a parameter's `.grad()` holds.
enum class Category : std::uint8_t {
  parameter,
  gradient,
  optimizer_state,
  saved_activation,
  live_activation,
  temporary,
  workspace,
  input,
  other,
};
inline constexpr int kCategories = 9;

/// The part of a training step in which something happens; `setup` is whatever comes before the first step.
enum class Phase : std::uint8_t { setup, data, forward, backward, optimizer };
inline constexpr int kPhases = 5;

/// "saved_activation" and so on: the names used in every output.
const char* name(Category category);
const char* name(Phase phase);

/// A text with static lifetime, equal texts giving the same pointer; how module paths and user op names
/// become cheap to carry. Thread-safe.
const char* intern(std::string_view text);

/// Why a block is held. `op` and `module` have static lifetime (literals or `intern`), never null.
struct Tag {
  Category category = Category::other;
  Phase phase = Phase::forward;
  const char* op = "";
  const char* module = "";
  std::int64_t step = 0;
};

/// The tag that the next allocation on this thread gets.
inline Tag& current_tag() {
  static thread_local constinit Tag tag;
  return tag;
}

/// "step 3" for a step's number: what a range of it is called.
inline const char* range_text(const char* text) { return text; }
inline const char* range_text(Phase phase) { return name(phase); }
const char* range_text(std::int64_t step);

/// Sets one field of the current tag and restores it on leaving the scope. A new step, phase or module is a range.
template <class T, T Tag::*field>
class TagScope {
 public:
  explicit TagScope(T value) : before_(current_tag().*field) {
    current_tag().*field = value;
    if constexpr (is_range) {
      sink_ = range_sink.load(std::memory_order_acquire);
      if (sink_ == nullptr) return;
      if (value == before_)
        sink_ = nullptr;
      else
        sink_->begin(range_text(value));
    }
  }
  ~TagScope() {
    current_tag().*field = before_;
    if constexpr (is_range) {
      if (sink_ != nullptr) sink_->end();
    }
  }
  TagScope(const TagScope&) = delete;
  TagScope& operator=(const TagScope&) = delete;

 private:
  static constexpr bool is_range = [] {
    if constexpr (std::is_same_v<T, const char*>)
      return field == &Tag::module;
    else
      return !std::is_same_v<T, Category>;
  }();

  T before_;
  RangeSink* sink_ = nullptr;
};
using CategoryScope = TagScope<Category, &Tag::category>;
using PhaseScope = TagScope<Phase, &Tag::phase>;
using OpScope = TagScope<const char*, &Tag::op>;
using ModuleScope = TagScope<const char*, &Tag::module>;
using StepScope = TagScope<std::int64_t, &Tag::step>;

}  // namespace mnemo::memory
