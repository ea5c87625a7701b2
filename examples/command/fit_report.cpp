#include <fmt/format.h>

#include "command/fit.h"
#include "command/numbers.h"
#include "command/table.h"

namespace mnemo::command {

using memory::format_bytes;

namespace {

std::string ranges(const std::vector<BatchRange>& fits) {
  std::string text;
  constexpr std::size_t kMost = 12;
  for (std::size_t i = 0; i < fits.size(); ++i) {
    if (fits.size() > kMost && i == kMost / 2) {
      text += fmt::format(", ... ({} more ranges)", fits.size() - kMost);
      i += fits.size() - kMost;
    }
    const auto& [first, last] = fits[i];
    text += i == 0 ? "" : ", ";
    text += first == last ? fmt::format("{}", first) : fmt::format("{} to {}", first, last);
  }
  return text;
}

Json to_json(const FitQuestion& question, const FitTrial& trial) {
  Json choices = Json::array();
  for (const std::string& words : training::describe(question.run, trial.choices)) choices.push_back(words);
  Json techniques = Json::array();
  for (const Technique technique : trial.choices.used()) techniques.push_back(name(technique));
  return {{"fits", trial.fits},
          {"choices", choices},
          {"techniques", techniques},
          {"workspace", trial.choices.workspace.by_path()},
          {"step", training::step_arguments(question.run, question.device, trial.choices)},
          {"peak_allocated", trial.peak_allocated},
          {"peak_reserved", trial.peak_reserved},
          {"extra_operations", trial.extra_operations},
          {"extra_seconds", trial.extra_seconds ? Json(*trial.extra_seconds) : Json()},
          {"code", training::code(question.run, trial.choices)}};
}

/// "+10.7", "+0.0", never "-0.0".
std::string with_sign(double number, int digits) {
  const std::string text = fmt::format("{:+.{}f}", number, digits);
  return text.find_first_of("123456789") == std::string::npos ? fmt::format("{:+.{}f}", 0.0, digits) : text;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

std::string reason(const OutOfMemory::Details& details) {
  const std::string where = memory::place(details.tag.phase, details.tag.module, details.tag.op);
  const std::string context = details.context > 0 ? format_bytes(details.context) + " are context, " : "";
  return fmt::format("{} asks for {} ({}), and of {} {}{} are allocated and {} more reserved", where,
                     format_bytes(details.requested), memory::words(details.tag.category),
                     format_bytes(details.capacity), context, format_bytes(details.allocated),
                     format_bytes(details.reserved - details.allocated));
}

std::string costs(const FitTrial& trial, const FitTrial& plain) {
  const double share = static_cast<double>(trial.extra_operations) / static_cast<double>(plain.work.operations());
  std::string text = with_sign(100 * share, 1) + " % operations";
  if (trial.extra_seconds)
    text += fmt::format(", {} ms per step by the card's roofline", with_sign(1e3 * *trial.extra_seconds, 2));
  return text;
}

std::string text(const FitQuestion& question, const FittingBatches& found) {
  const training::RunPlan& run = question.run;
  std::string text = fmt::format("{} on {}, {} {}: ", run.spec.name, question.device, name(run.training.dtype),
                                 training::describe(run.training));
  if (found.fits.empty())
    text += "no batch size fits\n";
  else
    text += fmt::format("batch {} {}; the largest is {}\n", ranges(found.fits), found.fits.size() == 1 ? "fits" : "fit",
                        found.largest());
  if (found.first_failure) {
    const BatchFailure& failure = *found.first_failure;
    text += fmt::format("batch {} does not: {}\n", failure.batch,
                        failure.memory ? reason(*failure.memory) : failure.reason);
  }
  if (found.limit == 0) text += "the search ended at its limit; larger batches may fit too\n";
  if (!found.exact) text += "not every batch was tried: between two that fit, others may not\n";
  return text + fmt::format("{} dry runs in {:.1f} s\n", found.dry_runs, found.seconds);
}

Json to_json(const FittingBatches& found) {
  Json fits = Json::array();
  for (const BatchRange& range : found.fits) fits.push_back({range.first, range.last});
  Json failure;
  if (found.first_failure) {
    const auto& memory = found.first_failure->memory;
    failure = {{"batch", found.first_failure->batch},
               {"requested", memory ? Json(memory->requested) : Json()},
               {"phase", memory ? Json(name(memory->tag.phase)) : Json()},
               {"op", memory ? Json(memory->tag.op) : Json()},
               {"module", memory ? Json(memory->tag.module) : Json()},
               {"reason", memory ? reason(*memory) : found.first_failure->reason}};
  }
  return {{"fits", fits},         {"largest_batch", found.largest()}, {"first_failure", failure},
          {"exact", found.exact}, {"dry_runs", found.dry_runs},       {"seconds", found.seconds}};
}

std::string text(const FitQuestion& question, const FitAnswer& answer) {
  const training::RunPlan& run = question.run;
  const FitTrial& chosen = answer.chosen;
  std::string text = fmt::format("{} on {}, {} {}, batch {}: ", run.spec.name, question.device,
                                 name(run.training.dtype), training::describe(run.training), run.batch);
  if (!chosen.fits) {
    text += "does not fit in any way that is allowed\n";
    if (chosen.failure) text += reason(*chosen.failure) + '\n';
    return text + fmt::format("it would take {} allocated, {} reserved\n", format_bytes(answer.plain.peak_allocated),
                              format_bytes(answer.plain.peak_reserved));
  }
  const std::vector<std::string> words = training::describe(run, chosen.choices);
  text += words.empty() ? "fits as it is" : "fits with " + joined(words);
  text += fmt::format("\npeak {} allocated, {} reserved, {} to spare", format_bytes(chosen.peak_allocated),
                      format_bytes(chosen.peak_reserved), format_bytes(chosen.spare));
  if (words.empty()) return text + '\n';
  text += fmt::format(" (as it is: {} allocated, {} reserved); {}\n", format_bytes(answer.plain.peak_allocated),
                      format_bytes(answer.plain.peak_reserved), costs(chosen, answer.plain));
  text += fmt::format("run it: mnemo step {}\n", training::step_arguments(run, question.device, chosen.choices));
  const std::string lines = training::code(run, chosen.choices);
  if (!lines.empty()) text += "in C++:\n" + lines;
  if (!answer.others.empty()) text += "also:\n";
  for (const FitTrial& other : answer.others) {
    text += fmt::format("  {}: {} reserved, {}\n", joined(training::describe(run, other.choices)),
                        format_bytes(other.peak_reserved), costs(other, answer.plain));
  }
  return text;
}

Json to_json(const FitQuestion& question, const FitAnswer& answer) {
  Json object = to_json(question, answer.chosen);
  Json others = Json::array();
  for (const FitTrial& other : answer.others) others.push_back(to_json(question, other));
  object["others"] = others;
  object["dry_runs"] = answer.dry_runs;
  if (answer.chosen.failure) object["reason"] = reason(*answer.chosen.failure);
  return object;
}

}  // namespace mnemo::command
