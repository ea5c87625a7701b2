#include <mnemo/memory/layer_notes.h>

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include <mnemo/memory/timeline.h>
#include <mnemo/memory/wording.h>

namespace mnemo::memory {

namespace {

/// The text up to the next blank, taken away from `rest`.
std::string_view next_word(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

std::optional<Bytes> number(std::string_view text) {
  Bytes value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

Bytes element_bytes(std::string_view dtype) {
  static constexpr std::pair<std::string_view, Bytes> kSizes[] = {{"float64", 8}, {"int64", 8},   {"float32", 4},
                                                                  {"int32", 4},   {"float16", 2}, {"bfloat16", 2},
                                                                  {"uint8", 1},   {"bool", 1}};
  for (const auto& [name, bytes] : kSizes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

/// Fills bytes and formula, unless the numbers are no shape or too large: a
/// recording may say anything.
void derive(OutputNote& note) {
  const Bytes element = element_bytes(note.dtype);
  if (element == 0) return;
  std::string formula;
  Bytes product = element;
  std::string_view sizes(note.shape);
  sizes = sizes.substr(1, sizes.size() - 2);
  while (!sizes.empty()) {
    const std::size_t end = std::min(sizes.find(','), sizes.size());
    const std::optional<Bytes> size = number(sizes.substr(0, end));
    if (!size || __builtin_mul_overflow(product, *size, &product)) return;
    formula += fmt::format("{}*", *size);
    sizes.remove_prefix(end);
    while (!sizes.empty() && (sizes.front() == ',' || sizes.front() == ' ')) sizes.remove_prefix(1);
  }
  note.bytes = product;
  note.formula = fmt::format("{}{} B = {}", formula, element, grouped(product));
}

}  // namespace

std::optional<ParsedOutput> parse_output_note(std::string_view marker) {
  if (next_word(marker) != "output") return std::nullopt;
  ParsedOutput parsed;
  parsed.op = next_word(marker);
  const std::size_t close = marker.find(')');
  if (parsed.op.empty() || !marker.starts_with('(') || close == std::string_view::npos) return std::nullopt;
  parsed.note.shape = marker.substr(0, close + 1);
  marker.remove_prefix(close + 1);
  if (!marker.starts_with(' ')) return std::nullopt;
  parsed.note.dtype = marker.substr(1);
  derive(parsed.note);
  return parsed;
}

std::optional<ParsedPlan> parse_plan_note(std::string_view marker) {
  if (next_word(marker) != "plan") return std::nullopt;
  ParsedPlan parsed;
  parsed.op = next_word(marker);
  parsed.note.pass = next_word(marker);
  parsed.note.algorithm = next_word(marker);
  const std::optional<Bytes> workspace = number(marker);
  if (parsed.op.empty() || parsed.note.pass.empty() || parsed.note.algorithm.empty() || !workspace) return std::nullopt;
  parsed.note.workspace = *workspace;
  return parsed;
}

LayerNotes::Notes& LayerNotes::notes_of(const LayerName& layer) {
  const auto [place, fresh] = notes_.try_emplace(layer);
  if (fresh) layers_.push_back(layer);
  return place->second;
}

LayerNotes::LayerNotes(const Recording& recording, std::int64_t last) {
  // The blocks that the current op has had: its output is among them when the
  // note comes.
  std::string module, op;
  std::map<Bytes, Bytes> sizes;  // requested -> occupied
  for (Timeline timeline(recording); timeline.next();) {
    const Event& event = timeline.event();
    if (event.kind == EventKind::alloc) {
      if (module != event.tag.module || op != event.tag.op) {
        sizes.clear();
        module = event.tag.module;
        op = event.tag.op;
      }
      sizes[event.requested] = event.size;
      continue;
    }
    if (event.kind != EventKind::marker) continue;
    const bool late = timeline.index() > last;
    if (std::optional<ParsedOutput> output = parse_output_note(event.tag.op)) {
      Notes& notes = notes_of({event.tag.module, output->op});
      if (late && notes.output) continue;
      const auto block = sizes.find(output->note.bytes);
      if (module == event.tag.module && op == output->op && block != sizes.end()) output->note.measured = block->second;
      notes.output = std::move(output->note);
    } else if (std::optional<ParsedPlan> plan = parse_plan_note(event.tag.op)) {
      std::vector<PlanNote>& plans = notes_of({event.tag.module, plan->op}).plans;
      const auto same = std::find_if(plans.begin(), plans.end(),
                                     [&](const PlanNote& known) { return known.pass == plan->note.pass; });
      if (same == plans.end())
        plans.push_back(std::move(plan->note));
      else if (!late)
        *same = std::move(plan->note);
    }
  }
}

const LayerNotes::Notes& LayerNotes::of(const LayerName& layer) const {
  static const Notes kNothing;
  const auto found = notes_.find(layer);
  return found == notes_.end() ? kNothing : found->second;
}

const PlanNote* LayerNotes::plan_with(const LayerName& layer, Bytes workspace) const {
  for (const PlanNote& plan : of(layer).plans) {
    if (plan.workspace == workspace) return &plan;
  }
  return nullptr;
}

const PlanNote* LayerNotes::plan_of(const LayerName& layer, std::string_view pass) const {
  for (const PlanNote& plan : of(layer).plans) {
    if (plan.pass == pass) return &plan;
  }
  return nullptr;
}

}  // namespace mnemo::memory
