// mnemo replay: an allocation trace, run through the allocator on a virtual device.
#include <memory>
#include <string>
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

struct ReplayOptions {
  std::string file;
  std::string allocator;
  bool has_allocator = false;
  std::string capacity;
  std::string record;
  int device_index = -1;
  bool events = false;
  bool json = false;
};

/// A recording is replayed as it was made, unless other options are given; a trace of text as the environment says.
memory::ReplayOptions read(const ReplayOptions& options, const memory::CallTrace& trace) {
  memory::ReplayOptions how{.config = trace.config(),
                            .capacity = trace.capacity(),
                            .context = trace.context(),
                            .totals = true,
                            .record = options.record};
  if (options.has_allocator) {
    how.config = memory::AllocatorConfig::parse(options.allocator);
  } else if (!trace.recording) {
    how.config = memory::AllocatorConfig::from_environment();
  }
  if (!options.capacity.empty()) how.capacity = memory::parse_bytes(options.capacity);
  how.rebuild_cache = how.config.text() == trace.config().text();
  if (how.rebuild_cache && trace.imported) how.ties = memory::ties_of(trace);
  return how;
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

struct Stretch {
  std::string name;
  memory::ReplayResult::Totals recorded, replayed;
};

/// The totals at the end of each part of a step, as recorded and now.
std::vector<Stretch> stretches(const memory::CallTrace& trace, const memory::ReplayResult& result) {
  std::vector<Stretch> list;
  for (std::size_t i = 0; i < trace.stretches.size(); ++i) {
    const memory::CallTrace::Stretch& stretch = trace.stretches[i];
    const std::size_t end = i + 1 < trace.stretches.size() ? trace.stretches[i + 1].begin : trace.calls.size();
    if (end == 0) continue;
    list.push_back({fmt::format("step {} {}", stretch.step, memory::name(stretch.phase)), trace.totals[end - 1],
                    result.events[end - 1]});
  }
  return list;
}

/// The number of calls after which totals are not those recorded.
std::int64_t differences(const memory::CallTrace& trace, const memory::ReplayResult& result) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < trace.totals.size(); ++i) count += trace.totals[i] == result.events[i] ? 0 : 1;
  return count;
}

Json to_json(const memory::ReplayResult::Totals& totals) {
  return {{"allocated", totals.allocated}, {"reserved", totals.reserved}};
}

/// What a recording says and a trace of text does not.
void compare(const memory::CallTrace& trace, const memory::ReplayResult& result, memory::Ties ties, Json& object) {
  object["equal_blocks_by"] = ties == memory::Ties::address ? "address" : "age";
  object["calls"] = trace.calls.size();
  object["calls_that_differ"] = differences(trace, result);
  object["recorded"] = {{"allocator", trace.config().text()},
                        {"capacity", trace.capacity()},
                        {"peak_allocated", trace.recording->peak().bytes},
                        {"peak_reserved", trace.recording->peak_reserved().bytes}};
  object["phases"] = Json::array();
  for (const Stretch& stretch : stretches(trace, result)) {
    object["phases"].push_back(
        {{"name", stretch.name}, {"recorded", to_json(stretch.recorded)}, {"replayed", to_json(stretch.replayed)}});
  }
  object["notes"] = trace.warnings;
}

std::string compare(const memory::CallTrace& trace, const memory::ReplayResult& result,
                    const memory::ReplayOptions& how) {
  constexpr std::size_t kMost = 24;  // phases
  const auto quoted = [](const std::string& text) { return text.empty() ? std::string("the defaults") : text; };
  std::string text = fmt::format("recorded with {}, replayed with {}: {}\n\n", quoted(trace.config().text()),
                                 quoted(how.config.text()), trace.name);
  Table table({{"", Table::Align::left}, {"allocated: recorded"}, {"replayed"}, {"reserved: recorded"}, {"replayed"}});
  const auto add = [&](const std::string& name, const memory::ReplayResult::Totals& then,
                       const memory::ReplayResult::Totals& now) {
    table.add({name, grouped(then.allocated), grouped(now.allocated), grouped(then.reserved), grouped(now.reserved)});
  };
  if (!trace.blocks_before.empty()) add("before", trace.before, result.before);
  const std::vector<Stretch> list = stretches(trace, result);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list.size() > kMost && i == kMost / 2) {
      table.add({fmt::format("({} more)", list.size() - kMost)});
      i = list.size() - kMost / 2;
    }
    add(list[i].name, list[i].recorded, list[i].replayed);
  }
  add("peak", {trace.recording->peak().bytes, trace.recording->peak_reserved().bytes},
      {result.peak_allocated, result.peak_reserved});
  text += table.text();
  const std::int64_t other = differences(trace, result);
  text += other == 0 ? fmt::format("\nafter every one of {} calls the totals are those recorded\n\n",
                                   grouped(static_cast<std::int64_t>(trace.calls.size())))
                     : fmt::format("\nafter {} of {} calls the totals are not those recorded\n\n", grouped(other),
                                   grouped(static_cast<std::int64_t>(trace.calls.size())));
  if (how.ties == memory::Ties::address)
    text += "of equal free blocks the one at the lowest address was taken, as it was when this was recorded\n\n";
  return text;
}

int show(const ReplayOptions& options) {
  check_outputs({{"--record", options.record}}, {options.file});
  if (!options.capacity.empty()) memory::parse_bytes(options.capacity);
  if (options.has_allocator) memory::AllocatorConfig::parse(options.allocator);
  const memory::CallTrace trace = read_trace(options.file, options.device_index);
  const memory::ReplayOptions how = read(options, trace);
  if (!options.capacity.empty() && how.capacity <= how.context) {
    throw UsageError(fmt::format("--capacity {}: the driver's context alone takes {}", options.capacity,
                                 memory::format_bytes(how.context)));
  }
  const memory::ReplayResult result = writing([&] { return memory::replay(trace, how); });
  const int code = result.statistics.num_ooms > 0 ? out_of_memory : fine;
  if (code == out_of_memory) complain(fmt::format("{} allocations did not fit", grouped(result.statistics.num_ooms)));
  Json object = to_json(result.statistics);
  if (options.json) {
    if (trace.recording) compare(trace, result, how.ties, object);
    if (options.events) {
      object["events"] = Json::array();
      for (const auto& event : result.events) object["events"].push_back(to_json(event));
    }
    print_json(object);
    return code;
  }
  if (trace.recording) print(compare(trace, result, how));
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
  return code;
}

}  // namespace

void add_replay(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("replay", "Runs a trace of allocations through the allocator on a virtual device.");
  verb->footer(
      "FILE is a recording, a memory snapshot of PyTorch's (pickle or JSON), or a trace of text; its content decides.\n"
      "The first two are replayed under the options and the capacity with which they were made, unless others are\n"
      "given, and compared with what they say.\n"
      "A trace of text has one operation per line: alloc,ID,BYTES,STREAM  free,ID  record_stream,ID,STREAM  complete\n"
      "empty_cache  reset_peak; # starts a comment. Figures are bytes, except segments, retries and ooms.\n"
      "An allocation that fails is left out and the replay goes on; the exit code is then 3.");
  const auto options = std::make_shared<ReplayOptions>();
  verb->add_option("FILE", options->file, "The trace; - reads standard input.")->required();
  CLI::Option* allocator =
      verb->add_option("--allocator", options->allocator, "Allocator options, such as max_split_size_mb:128.");
  verb->add_option("--capacity", options->capacity,
                   "Memory of the device, such as 24GiB; as recorded, else unlimited.");
  add_device_index(*verb, options->device_index, "Of a snapshot: which device. (the one with most events)");
  verb->add_option("--record", options->record, "Also write what the replay does to memory to this file.");
  verb->add_flag("--events", options->events, "Also the totals after every line.");
  verb->add_flag("--json", options->json, "One JSON object on stdout.");
  verb->callback([&action, options, allocator] {
    options->has_allocator = allocator->count() > 0;
    action = [options] { return show(*options); };
  });
}

}  // namespace mnemo::command
