// mnemo import: a memory snapshot of PyTorch as a recording, with a short summary of what it says.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/numbers.h"
#include "command/output.h"
#include "command/table.h"
#include "command/trace_file.h"

namespace mnemo::command {

namespace {

constexpr std::size_t kTop = 10;

struct ImportOptions {
  std::string file;
  std::string output;
  int device_index = -1;
  bool json = false;
};

using Holder = std::pair<std::string, memory::Bytes>;

/// Who holds what at the peak, the largest first.
std::vector<Holder> holders(const memory::Recording& recording) {
  memory::Timeline timeline(recording);
  timeline.seek(recording.peak().event);
  std::map<std::string, memory::Bytes> held;
  for (const auto& [position, block] : timeline.state().blocks()) {
    if (!block.waiting) held[block.tag.op] += block.size;
  }
  std::vector<Holder> holders(held.begin(), held.end());
  std::stable_sort(holders.begin(), holders.end(),
                   [](const Holder& a, const Holder& b) { return a.second > b.second; });
  return holders;
}

Json to_json(const memory::Recording& recording, const memory::ImportedRecording& imported, const std::string& output) {
  Json object{{"recording", output},
              {"device_index", imported.device_index},
              {"events", recording.size()},
              {"peak_allocated", recording.peak().bytes},
              {"peak_reserved", recording.peak_reserved().bytes},
              {"contradictions", imported.contradictions},
              {"warnings", imported.warnings},
              {"largest", Json::array()}};
  for (const auto& [op, bytes] : holders(recording)) {
    object["largest"].push_back({{"op", op}, {"bytes", bytes}});
    if (object["largest"].size() == kTop) break;
  }
  return object;
}

void show(const memory::Recording& recording, const memory::ImportedRecording& imported, const std::string& output) {
  Table totals({{"", Table::Align::left}, {""}});
  totals.add({"device", std::to_string(imported.device_index)});
  totals.add({"events", grouped(recording.size())});
  totals.add({"peak allocated", memory::format_bytes(recording.peak().bytes)});
  totals.add({"peak reserved", memory::format_bytes(recording.peak_reserved().bytes)});
  print(totals.text());
  const std::vector<Holder> all = holders(recording);
  if (!all.empty()) {
    Table table({{"held at the peak by", Table::Align::left}, {"MiB"}});
    for (std::size_t i = 0; i < std::min(kTop, all.size()); ++i) {
      table.add({all[i].first.empty() ? "(no stack recorded)" : all[i].first, mebibytes(all[i].second)});
    }
    if (all.size() > kTop) {
      memory::Bytes rest = 0;
      for (std::size_t i = kTop; i < all.size(); ++i) rest += all[i].second;
      table.add({fmt::format("{} more", all.size() - kTop), mebibytes(rest)});
    }
    print('\n' + table.text());
  }
  print(fmt::format("\nrecording: {}\n", output));
}

int run(const ImportOptions& options) {
  const std::string output =
      options.output.empty() ? std::filesystem::path(options.file).stem().string() + ".mnemo" : options.output;
  check_outputs({{"--output", output}}, {options.file});
  const memory::ImportedRecording imported =
      memory::import_snapshot(options.file, {.device_index = options.device_index});
  const memory::Recording recording = memory::Recording::parse(imported.bytes, options.file);
  std::ofstream file(output, std::ios::binary | std::ios::trunc);
  file.write(imported.bytes.data(), static_cast<std::streamsize>(imported.bytes.size()));
  file.close();
  if (!file) throw OutputError(output + ": cannot be written");
  for (const std::string& warning : imported.warnings) complain("warning: " + warning);
  if (options.json) {
    print_json(to_json(recording, imported, output));
  } else {
    show(recording, imported, output);
  }
  return fine;
}

}  // namespace

void add_import(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("import", "Makes a recording of a memory snapshot that PyTorch wrote.");
  verb->footer(
      "In PyTorch: torch.cuda.memory._record_memory_history(), then the run, then\n"
      "torch.cuda.memory._dump_snapshot(\"snapshot.pickle\"). Pickles of protocol 2 to 4 are read, and JSON.");
  const auto options = std::make_shared<ImportOptions>();
  verb->add_option("SNAPSHOT", options->file, "The snapshot.")->required();
  verb->add_option("--output,-o", options->output, "The recording; SNAPSHOT's name with .mnemo, here, unless given.");
  add_device_index(*verb, options->device_index, "Which device; the one with most events unless given.");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options] { action = [options] { return run(*options); }; });
}

}  // namespace mnemo::command
