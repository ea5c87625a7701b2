#include <mnemo/autograd/checkpoint_plan.h>

#include <charconv>

#include <algorithm>

#include <fmt/format.h>

#include <mnemo/autograd/checkpoint.h>
#include <mnemo/core/error.h>

namespace mnemo {

namespace {

std::string text_of(const std::vector<PlanPart>& parts) {
  std::string text;
  for (const PlanPart& part : parts) {
    if (!text.empty()) text += ' ';
    text += part.checkpointed ? '(' + text_of(part.inside) + ')' : fmt::format("{}", part.first);
  }
  return text;
}

std::vector<PlanPart> kept(std::size_t first, std::size_t last) {
  std::vector<PlanPart> parts;
  for (std::size_t i = first; i < last; ++i) parts.push_back({i, i + 1});
  return parts;
}

/// The parts cover first to last, in order, and so do the parts inside them.
bool covers(const std::vector<PlanPart>& parts, std::size_t first, std::size_t last) {
  for (const PlanPart& part : parts) {
    if (part.first != first || part.last <= part.first) return false;
    if (part.checkpointed ? !covers(part.inside, part.first, part.last) : part.last != part.first + 1) return false;
    first = part.last;
  }
  return first == last;
}

using Stack = std::vector<Tensor>;

/// Takes `count` tensors from the top.
Stack take(Stack& stack, std::size_t count) {
  if (count > stack.size())
    fail<Error>("run_chain", fmt::format("a stage takes {} tensors where there are {}", count, stack.size()));
  Stack top(stack.end() - static_cast<std::ptrdiff_t>(count), stack.end());
  stack.resize(stack.size() - count);
  return top;
}

/// How many tensors the stages together take that were there before them.
std::size_t taken_by(std::span<const Stage> stages) {
  std::size_t taken = 0, own = 0;
  for (const Stage& stage : stages) {
    if (stage.takes > own) taken += stage.takes - own, own = stage.takes;
    own = own - stage.takes + stage.gives;
  }
  return taken;
}

Stack run_parts(const std::vector<PlanPart>& parts, std::span<const Stage> stages, std::size_t first, Stack stack);

/// `stages` begin with number `first`.
void run_part(const PlanPart& part, std::span<const Stage> stages, std::size_t first, Stack& stack) {
  const std::span<const Stage> own = stages.subspan(part.first - first, part.last - part.first);
  const Stack top = take(stack, taken_by(own));
  Stack results;
  if (!part.checkpointed) {
    results = own.front().run(top);
  } else {
    // Copies: the plan and the list of stages may be gone when backward comes.
    results = checkpoint(
        {},
        [part, again = std::vector<Stage>(own.begin(), own.end())](std::span<const Tensor> inputs) {
          return run_parts(part.inside, again, part.first, Stack(inputs.begin(), inputs.end()));
        },
        std::span<const Tensor>(top));
  }
  for (Tensor& result : results) stack.push_back(std::move(result));
}

Stack run_parts(const std::vector<PlanPart>& parts, std::span<const Stage> stages, std::size_t first, Stack stack) {
  for (const PlanPart& part : parts) run_part(part, stages, first, stack);
  return stack;
}

}  // namespace

Stage make_stage(std::string name, std::function<Tensor(const Tensor&)> run) {
  return {std::move(name), [run = std::move(run)](std::span<const Tensor> x) { return Stack{run(x[0])}; }};
}

std::string CheckpointPlan::text() const { return text_of(parts); }

namespace {

/// Reads parts up to the end of the text, or of the bracket; `stage` counts on.
std::vector<PlanPart> read_parts(std::string_view text, std::size_t& at, std::size_t& stage, int depth) {
  constexpr int kDeepest = 100;
  const auto refuse = [&](const std::string& what) {
    throw ConfigError(
        fmt::format("[parse_checkpoint_plan] \"{}\": {} at character {}; a plan is stages in order, the "
                    "checkpointed parts in brackets, such as 0 (1 2) 3",
                    text, what, at + 1));
  };
  std::vector<PlanPart> parts;
  for (;;) {
    while (at < text.size() && text[at] == ' ') ++at;
    if (at == text.size() || text[at] == ')') break;
    const std::size_t first = stage;
    if (text[at] == '(') {
      if (depth == kDeepest) refuse("brackets too deep");
      std::vector<PlanPart> inside = read_parts(text, ++at, stage, depth + 1);
      if (at == text.size()) refuse("a bracket without end");
      ++at;
      if (inside.empty()) refuse("an empty part");
      parts.push_back({first, stage, true, std::move(inside)});
      continue;
    }
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), number);
    if (error != std::errc{} || number != stage) refuse(fmt::format("stage {} is missing", stage));
    at = static_cast<std::size_t>(end - text.data());
    parts.push_back({first, ++stage, false, {}});
  }
  return parts;
}

}  // namespace

CheckpointPlan parse_checkpoint_plan(std::string_view text) {
  std::size_t at = 0, stage = 0;
  CheckpointPlan plan{read_parts(text, at, stage, 0)};
  if (at < text.size() || plan.parts.empty()) {
    throw ConfigError(fmt::format("[parse_checkpoint_plan] \"{}\" has {}", text,
                                  plan.parts.empty() ? "no stages" : "a bracket that was never opened"));
  }
  return plan;
}

CheckpointPlan no_checkpoints(std::size_t stages) { return {kept(0, stages)}; }

CheckpointPlan even_segments(std::size_t stages, std::size_t count) {
  if (count < 1 || count > stages)
    fail<Error>("even_segments", fmt::format("{} stages make 1 to {} segments, not {}", stages, stages, count));
  CheckpointPlan plan;
  std::size_t first = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t last = first + stages / count + (i < stages % count);
    if (i + 1 < count)
      plan.parts.push_back({first, last, true, kept(first, last)});
    else
      for (PlanPart& part : kept(first, last)) plan.parts.push_back(part);
    first = last;
  }
  return plan;
}

Tensor run_chain(const CheckpointPlan& plan, std::span<const Stage> stages, const Tensor& x) {
  if (!covers(plan.parts, 0, stages.size()))
    fail<Error>("run_chain", fmt::format("the plan {} does not cover {} stages", plan.text(), stages.size()));
  Stack stack = run_parts(plan.parts, stages, 0, {x});
  if (stack.size() != 1) fail<Error>("run_chain", fmt::format("the last stage leaves {} tensors", stack.size()));
  return std::move(stack.front());
}

}  // namespace mnemo
