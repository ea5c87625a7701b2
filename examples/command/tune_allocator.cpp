// mnemo tune-allocator: the allocator's options under which a program needs least memory.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/numbers.h"
#include "command/output.h"
#include "command/specification.h"
#include "command/table.h"
#include "command/trace_file.h"

namespace mnemo::command {

namespace {

using memory::format_bytes;
using memory::TunedConfig;

struct TuneOptions {
  std::string subject;
  std::string memory;
  int device_index = -1;
  RunOptions run = {};
  std::vector<std::string> given;
  bool json = false;
};

/// The calls of a file, or of the model that is named and then run.
memory::CallTrace calls_of(const TuneOptions& options) {
  if (options.subject == "-" || (!names_model(options.subject) && std::filesystem::exists(options.subject))) {
    if (!options.given.empty())
      throw UsageError(fmt::format("{} is a trace: {} is for models", options.subject, options.given.front()));
    return read_trace(options.subject, options.device_index);
  }
  const Subject subject = read_subject(options.subject, options.given);
  memory::CallTrace trace = memory::calls_of(subject.recording);
  trace.name = subject.name;
  return trace;
}

/// How a program is told: PyTorch by its own variable, which has the same keys.
std::string setting(const memory::CallTrace& trace, const std::string& text) {
  return (trace.imported ? "PYTORCH_CUDA_ALLOC_CONF=" : "MNEMO_ALLOC_CONF=") + text;
}

std::string shown(const TunedConfig& config) {
  return (config.text.empty() ? "(defaults)" : config.text) + (config.recorded ? " *" : "");
}

/// What a reader of the recommendation has to know besides.
std::vector<std::string> notes_of(const memory::CallTrace& trace, const TunedConfig& best) {
  std::vector<std::string> notes = trace.warnings;
  if (trace.imported && best.text.find("large_segment_size_mb") != std::string::npos) {
    notes.emplace_back("PyTorch has large_segment_size_mb since 2026 only; older versions refuse it");
  }
  if (trace.imported && best.text.find("per_process_memory_fraction") != std::string::npos) {
    notes.emplace_back(
        "where PyTorch does not know per_process_memory_fraction: "
        "torch.cuda.set_per_process_memory_fraction");
  }
  return notes;
}

Json to_json(const TunedConfig& config) {
  Json object{{"allocator", config.text},
              {"recorded", config.recorded},
              {"peak_allocated", config.peak_allocated},
              {"peak_reserved", config.peak_reserved},
              {"unused_at_peak", config.unused()},
              {"fragmentation", config.fragmentation},
              {"device_calls", config.device_calls},
              {"failures", config.failures},
              {"smallest", config.smallest ? Json(*config.smallest) : Json()},
              {"smallest_exact", config.smallest_exact},
              {"also_fits", config.also_fits ? Json(*config.also_fits) : Json()}};
  if (config.limited) {
    object["limited"] = {{"fits", config.limited->fits},
                         {"failures", config.limited->failures},
                         {"retries", config.limited->retries},
                         {"device_calls", config.limited->device_calls},
                         {"peak_reserved", config.limited->peak_reserved}};
  }
  return object;
}

Json to_json(const memory::CallTrace& trace, const memory::Tuning& tuning, memory::Bytes memory) {
  const TunedConfig& best = tuning.recommended();
  Json object{
      {"name", trace.name},         {"calls", trace.calls.size()},    {"memory", memory > 0 ? Json(memory) : Json()},
      {"context", trace.context()}, {"recommended", best.text},       {"MNEMO_ALLOC_CONF", best.text},
      {"answer", tuning.answer},    {"notes", notes_of(trace, best)}, {"configs", Json::array()}};
  if (trace.imported) object["PYTORCH_CUDA_ALLOC_CONF"] = best.text;
  if (trace.recording) object["recorded_peak_reserved"] = trace.recording->peak_reserved().bytes;
  for (const TunedConfig& config : tuning.configs) object["configs"].push_back(to_json(config));
  return object;
}

std::string text(const memory::CallTrace& trace, const memory::Tuning& tuning, memory::Bytes memory) {
  std::string page =
      fmt::format("{}: {} calls\n\n", trace.name, grouped(static_cast<std::int64_t>(trace.calls.size())));
  std::vector<Table::Column> columns{{"configuration", Table::Align::left},
                                     {"peak reserved"},
                                     {"unused then"},
                                     {"fragmented"},
                                     {"device calls"},
                                     {"runs from"}};
  const std::string room = memory > 0 ? format_bytes(memory) : "";
  if (memory > 0) columns.insert(columns.end(), {{"in " + room}, {"retries"}});
  Table table(columns);
  std::vector<const TunedConfig*> order;
  for (const TunedConfig& config : tuning.configs) order.push_back(&config);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->peak_reserved < b->peak_reserved; });
  for (const TunedConfig* config : order) {
    std::vector<std::string> cells{(config == &tuning.recommended() ? "> " : "  ") + shown(*config),
                                   mebibytes(config->peak_reserved),
                                   mebibytes(config->unused()),
                                   fmt::format("{:.0f} %", 100 * config->fragmentation),
                                   grouped(config->device_calls),
                                   config->smallest ? mebibytes(*config->smallest) : "never"};
    if (config->also_fits) cells.back() += " !";
    if (!config->smallest_exact && config->smallest) cells.back() += " ~";
    if (config->limited) {
      cells.push_back(config->limited->fits ? "fits" : "fails");
      cells.push_back(grouped(config->limited->retries));
    }
    table.add(cells);
  }
  page += table.text() + "\nMiB; > recommended";
  const auto any = [&](auto what) { return std::any_of(order.begin(), order.end(), what); };
  if (any([](const auto* config) { return config->recorded; })) page += "; * as recorded";
  if (any([](const auto* config) { return config->also_fits.has_value(); }))
    page += "; ! also on some smaller devices, though not on all in between";
  if (any([](const auto* config) { return config->smallest && !config->smallest_exact; }))
    page += "; ~ not every size was tried";
  page += "\n\n" + tuning.answer + "\n";
  if (trace.recording) {
    page +=
        fmt::format("Recorded were {} reserved at the peak.\n", format_bytes(trace.recording->peak_reserved().bytes));
  }
  for (const std::string& note : notes_of(trace, tuning.recommended())) page += "note: " + note + '\n';
  if (!tuning.recommended().text.empty()) page += '\n' + setting(trace, tuning.recommended().text) + '\n';
  return page;
}

int show(const TuneOptions& options) {
  const memory::Bytes memory = options.memory.empty() ? 0 : memory::parse_bytes(options.memory);
  const memory::CallTrace trace = calls_of(options);
  if (memory > 0 && memory <= trace.context()) {
    throw UsageError(
        fmt::format("--memory {}: the driver's context alone takes {}", options.memory, format_bytes(trace.context())));
  }
  const memory::Tuning tuning = memory::tune(trace, {.memory = memory, .context = trace.context()});
  if (options.json)
    print_json(to_json(trace, tuning, memory));
  else
    print(text(trace, tuning, memory));
  return fine;
}

}  // namespace

/// `--json` prints {"name", "calls", "memory", "context", "recommended", "MNEMO_ALLOC_CONF", "answer", "notes",
/// "configs"}; of a snapshot also "PYTORCH_CUDA_ALLOC_CONF". A configuration has "allocator" ("": the defaults), bytes,
/// and with
/// --memory what it does there as "limited".
void add_tune_allocator(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("tune-allocator",
                                      "The allocator's options under which a trace or a model needs least memory.");
  verb->footer(
      "The trace is a recording, a memory snapshot of PyTorch's, or a trace of text as for `mnemo replay`. It is "
      "replayed\n"
      "under each configuration that can matter for its sizes. A model is run once, on --device, and then tuned.");
  const auto options = std::make_shared<TuneOptions>();
  verb->add_option("TRACE|MODEL", options->subject,
                   "A file, or a model with options of its own if quoted: \"resnet18 --batch 8\".")
      ->required();
  verb->add_option("--memory", options->memory, "Of the device that it shall fit on, such as 24GiB.");
  add_device_index(*verb, options->device_index, "Of a snapshot: which device. (the one with most events)");
  add_run_options(*verb, options->run);
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, verb] {
    options->given = given_options(*verb);
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
