// bench-gpu-micro: what a device moves per second, and what its operations cost besides. A table, or --json.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <mnemo/mnemo.h>

#include "bandwidth.h"
#include "overhead.h"

namespace mnemo::bench {

namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string device = "cuda";
  std::vector<std::string> sizes;
  std::string copy;
  ClockOptions clock;
  bool json = false;
};

struct Results {
  Bandwidth copy;
  std::vector<Bandwidth> bandwidths;
  std::vector<CacheHit> hits;
  std::vector<Overhead> overheads;
  std::vector<StepTimes> steps;
};

/// Throws ConfigError unless it is a multiple of 1 MiB, and more than nothing.
memory::Bytes array_bytes(const std::string& text) {
  const memory::Bytes bytes = memory::parse_bytes(text);
  if (bytes <= 0 || bytes % (1 << 20) != 0)
    throw ConfigError(fmt::format("arrays are of a multiple of 1 MiB, not of {}", text));
  return bytes;
}

Results measure_all(const Device& device, const Arguments& arguments) {
  const DeviceScope scope(device);
  const NoGradScope no_grad;
  Results results;
  results.copy = copy_bandwidth(device, arguments.clock, array_bytes(arguments.copy));
  for (const std::string& size : arguments.sizes) {
    for (Bandwidth& one : bandwidths(device, arguments.clock, array_bytes(size)))
      results.bandwidths.push_back(std::move(one));
    device.allocator().empty_cache();
  }
  const GradModeScope recording(true);
  results.hits = cache_hits(device, arguments.clock);
  results.overheads = overheads(device, arguments.clock);
  results.steps = step_times(device, arguments.clock);
  return results;
}

double share(const Bandwidth& one, const Results& results) {
  return one.bytes_per_second() / results.copy.bytes_per_second();
}

Json to_json(const Bandwidth& one) {
  return {{"name", one.name},
          {"dtype", name(one.dtype)},
          {"array_bytes", one.array},
          {"formula", one.formula},
          {"moved_bytes", one.moved},
          {"seconds", one.times.median},
          {"least_seconds", one.times.least},
          {"runs", one.times.runs},
          {"repeats", one.times.repeats},
          {"bytes_per_second", one.bytes_per_second()}};
}

Json to_json(const Device& device, const Results& results) {
  Json object{{"device", device.name()},
              {"title", device.backend().title()},
              {"decisions", device.backend().decisions().source()},
              {"copy", to_json(results.copy)}};
  for (const Bandwidth& one : results.bandwidths) {
    Json entry = to_json(one);
    entry["share_of_copy"] = share(one, results);
    object["bandwidth"].push_back(std::move(entry));
  }
  for (const CacheHit& hit : results.hits)
    object["malloc_and_free_on_a_hit"].push_back({{"bytes", hit.bytes}, {"nanoseconds", hit.seconds * 1e9}});
  for (const Overhead& one : results.overheads) {
    object["operation"].push_back(
        {{"name", one.name}, {"host_nanoseconds", one.host_seconds * 1e9}, {"nanoseconds", one.seconds * 1e9}});
  }
  for (const StepTimes& one : results.steps) {
    object["step"].push_back({{"net", one.net},
                              {"batch", one.batch},
                              {"eager_seconds", one.eager.median},
                              {"graph_seconds", one.graph.median},
                              {"is_recorded", one.is_recorded}});
  }
  return object;
}

void print_table(const Device& device, const Results& results) {
  fmt::print("{} {}; decisions: {}\n\n", device.name(), device.backend().title(),
             device.backend().decisions().source());
  const auto row = [&](const Bandwidth& one) {
    fmt::print("{:<60} {:<9} {:>10} {:>11.2f} {:>9.1f} {:>6.1f} %  {}\n", one.name, name(one.dtype),
               memory::format_bytes(one.array), one.times.median * 1e6, one.bytes_per_second() / 1e9,
               100 * share(one, results), one.formula);
  };
  fmt::print("{:<60} {:<9} {:>10} {:>11} {:>9} {:>8}  {}\n", "operation", "dtype", "N", "us", "GB/s", "of copy",
             "moved");
  row(results.copy);
  for (const Bandwidth& one : results.bandwidths) row(one);
  fmt::print("\n");
  for (const CacheHit& hit : results.hits)
    fmt::print("malloc and free on a hit, {:<20} {:>10.1f} ns\n", memory::format_bytes(hit.bytes), hit.seconds * 1e9);
  for (const Overhead& one : results.overheads)
    fmt::print("{:<46} {:>10.1f} ns, of which the host {:.1f} ns\n", one.name, one.seconds * 1e9,
               one.host_seconds * 1e9);
  for (const StepTimes& one : results.steps) {
    fmt::print("step of {}, batch {}: {:.1f} us; {} {:.1f} us\n", one.net, one.batch, one.eager.median * 1e6,
               one.is_recorded ? "repeated from a recording" : "again (this device records nothing)",
               one.graph.median * 1e6);
  }
}

int run(const Arguments& given) {
  const Device device(given.device);
  if (device.is_virtual()) throw DeviceError(fmt::format("{} takes no time: measure cpu or cuda", device.name()));
  Arguments arguments = given;
  const bool is_gpu = !device.backend().title().empty();
  if (arguments.sizes.empty()) {
    arguments.sizes = {"1MiB"};  // on the CPU: to see that it works
    if (is_gpu) arguments.sizes = {"64MiB", "256MiB"};
  }
  if (arguments.copy.empty()) arguments.copy = is_gpu ? "256MiB" : "16MiB";
  const Results results = measure_all(device, arguments);
  if (arguments.json)
    fmt::print("{}\n", to_json(device, results).dump(2));
  else
    print_table(device, results);
  return 0;
}

}  // namespace

}  // namespace mnemo::bench

int main(int argc, char** argv) {
  CLI::App app("What a device moves per second, and what its operations cost besides.");
  mnemo::bench::Arguments arguments;
  app.add_option("--device", arguments.device, "cuda, cuda:1 or cpu")->capture_default_str();
  app.add_option("--size", arguments.sizes, "Bytes of an array, a multiple of 1 MiB (64MiB,256MiB; on cpu 1MiB).")
      ->delimiter(',');
  app.add_option("--copy", arguments.copy, "Bytes of the copy that all is compared with (256MiB; on cpu 16MiB).");
  app.add_option("--seconds", arguments.clock.least_seconds, "Least time of a repeat.")->capture_default_str();
  app.add_option("--repeats", arguments.clock.repeats, "Repeats, of which the median is taken.")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", arguments.json, "One JSON object on stdout.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return mnemo::bench::run(arguments);
  } catch (const mnemo::ConfigError& error) {
    fmt::print(stderr, "bench-gpu-micro: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench-gpu-micro: {}\n", error.what());
    return 1;
  }
}
