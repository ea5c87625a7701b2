// mnemo replay: an allocation trace, run through the allocator on a virtual device.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include <fmt/format.h>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/numbers.h"
#include "command/output.h"
#include "command/table.h"

namespace mnemo::command {

namespace {

struct ReplayOptions {
  std::string file;
  std::string allocator;
  bool has_allocator = false;
  std::string capacity;
  bool events = false;
  bool json = false;
};

memory::ReplayResult replay(const ReplayOptions& options) {
  const auto config = options.has_allocator ? memory::AllocatorConfig::parse(options.allocator)
                                            : memory::AllocatorConfig::from_environment();
  const memory::Bytes capacity = options.capacity.empty() ? 0 : memory::parse_bytes(options.capacity);
  if (options.file == "-") return memory::replay(std::cin, "stdin", config, capacity);
  std::ifstream trace(options.file);
  if (!trace || std::filesystem::is_directory(options.file))
    throw FileError(options.file + ": cannot be opened for reading");
  return memory::replay(trace, options.file, config, capacity);
}

/// The figures, in the order in which they are shown.
Json to_json(const memory::Statistics& s) {
  return {{"allocated", s.allocated_bytes.all.current},
          {"reserved", s.reserved_bytes.all.current},
          {"active", s.active_bytes.all.current},
          {"requested", s.requested_bytes.all.current},
          {"inactive_split", s.inactive_split_bytes.all.current},
          {"peak_allocated", s.allocated_bytes.all.peak},
          {"peak_reserved", s.reserved_bytes.all.peak},
          {"segments", s.segment.all.current},
          {"retries", s.num_alloc_retries},
          {"ooms", s.num_ooms}};
}

int show(const ReplayOptions& options) {
  const memory::ReplayResult result = replay(options);
  Json object = to_json(result.statistics);
  if (options.json) {
    if (options.events) {
      object["events"] = Json::array();
      for (const auto& event : result.events)
        object["events"].push_back({{"allocated", event.allocated}, {"reserved", event.reserved}});
    }
    print_json(object);
    return fine;
  }
  Table totals({{"", Table::Align::left}, {""}});
  for (const auto& [name, value] : object.items()) totals.add({name, grouped(value.get<std::int64_t>())});
  print(totals.text());
  if (options.events) {
    Table events({{"operation"}, {"allocated"}, {"reserved"}});
    std::int64_t number = 0;
    for (const auto& event : result.events)
      events.add({grouped(++number), grouped(event.allocated), grouped(event.reserved)});
    print('\n' + events.text());
  }
  return fine;
}

}  // namespace

void add_replay(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("replay", "Runs a trace of allocations through the allocator on a virtual device.");
  verb->footer(
      "A trace has one operation per line: alloc,ID,BYTES,STREAM  free,ID  record_stream,ID,STREAM  complete\n"
      "empty_cache  reset_peak; # starts a comment. Figures are bytes, except segments, retries and ooms.");
  const auto options = std::make_shared<ReplayOptions>();
  verb->add_option("FILE", options->file, "The trace; - reads standard input.")->required();
  CLI::Option* allocator =
      verb->add_option("--allocator", options->allocator, "Allocator options, such as max_split_size_mb:128.");
  verb->add_option("--capacity", options->capacity, "Memory of the device, such as 24GiB; unlimited unless given.");
  verb->add_flag("--events", options->events, "Also the totals after every line.");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, allocator] {
    options->has_allocator = allocator->count() > 0;
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
