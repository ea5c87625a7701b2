// mnemo devices: what can be named as a device.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <mnemo/mnemo.h>

#include "command/command.h"
#include "command/numbers.h"
#include "command/output.h"
#include "command/table.h"

namespace mnemo::command {

namespace {

/// A real device: there, or not for a reason.
struct Presence {
  std::string name;
  memory::Bytes capacity = 0;
  std::string reason;
  std::string title = {};  ///< of a GPU
  memory::Bytes context = 0, others = 0, free = 0;
  std::string decisions = {};

  bool available() const { return reason.empty(); }
};

Presence presence_of(const char* name) {
  try {
    const Device device = Device::open(name);
    const memory::Source& source = device.allocator().source();
    return {.name = name,
            .capacity = source.capacity(),
            .reason = {},
            .title = device.backend().title(),
            .context = source.context_bytes(),
            .others = source.others_bytes(),
            .free = source.free_bytes(),
            .decisions = device.backend().decisions().source()};
  } catch (const DeviceError& error) {
    return {.name = name, .reason = error.what()};
  }
}

Json to_json(const Presence& device) {
  Json object{{"name", device.name}, {"virtual", false}, {"available", device.available()}};
  if (!device.available()) {
    object["reason"] = device.reason;
    return object;
  }
  object["capacity"] = device.capacity;
  if (device.title.empty()) return object;
  object["title"] = device.title;
  object["context"] = device.context;
  object["others"] = device.others;
  object["free"] = device.free;
  object["decisions"] = device.decisions;
  return object;
}

/// What cuDNN is told of the card, by where it comes from; empty where it is told nothing.
Json properties(const Card& card) {
  Json list = Json::array();
  const cuda::CardProperties* known = cuda::find_card_properties(first_name(card));
  if (known == nullptr) return list;
  for (const cuda::CardProperties::Source& source : known->sources)
    list.push_back({{"members", source.members}, {"marked", source.marked}, {"source", source.text}});
  return list;
}

std::string capability(const Card& card) {
  const cuda::CardProperties* known = cuda::find_card_properties(first_name(card));
  return known == nullptr ? "" : cuda::capability_text(known->capability);
}

/// "18 from public figures, 5 assumed"
std::string property_summary(const Card& card) {
  const cuda::CardProperties* known = cuda::find_card_properties(first_name(card));
  if (known == nullptr) return "none: convolution workspaces are estimated";
  std::string text;
  for (const char* marked : {"from a device", "from public figures", "assumed"}) {
    std::size_t count = 0;
    for (const cuda::CardProperties::Source& source : known->sources)
      count += source.marked == marked ? source.members.size() : 0;
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, marked);
  }
  return text;
}

Json to_json(const Card& card) {
  return {{"name", fmt::format("virtual:{}", card.name)},
          {"virtual", true},
          {"available", true},
          {"title", card.title},
          {"capacity", card.capacity},
          {"capacity_source", card.capacity_source},
          {"context", card.context},
          {"context_source", card.context_source},
          {"bandwidth", card.bandwidth},
          {"float32_flops", card.float32_flops},
          {"half_flops", card.half_flops},
          {"speed_source", card.speed_source},
          {"matmul_workspace", card.matmul_workspace},
          {"matmul_workspace_source", kMatmulWorkspaceSource},
          {"compute_capability", capability(card)},
          {"properties", properties(card)},
          {"decisions", card_decisions(card)->source()}};
}

std::string real_devices(const Presence& cpu, const Presence& cuda) {
  Table table({{"device", Table::Align::left}, {"what it is", Table::Align::left}});
  const auto what = [](const Presence& device, const char* arithmetic) {
    if (!device.available()) return "absent: " + device.reason;
    const std::string text = fmt::format("{}, {} MiB", arithmetic, mebibytes(device.capacity));
    if (device.title.empty()) return text;
    return fmt::format("{}: {}, context {} MiB, other processes {} MiB, free {} MiB, decisions of {}", text,
                       device.title, mebibytes(device.context), mebibytes(device.others), mebibytes(device.free),
                       device.decisions);
  };
  table.add({"cpu, cpu:SIZE", what(cpu, "real arithmetic")});
  table.add({"cuda, cuda:N", what(cuda, "real arithmetic")});
  table.add({"virtual:cpu, virtual:cpu:SIZE", "shapes only: allocates as cpu does"});
  table.add({"virtual:SIZE", "shapes only: a GPU of that size"});
  table.add({"virtual:CARD", "shapes only: one of the cards below"});
  return table.text();
}

std::string card_table() {
  Table table({{"card", Table::Align::left},
               {"title", Table::Align::left},
               {"capability"},
               {"capacity MiB"},
               {"context MiB"},
               {"GB/s"},
               {"float32 TFLOP/s"},
               {"half TFLOP/s"}});
  for (const Card& card : cards()) {
    table.add({card.name, card.title, capability(card), mebibytes(card.capacity), mebibytes(card.context),
               fmt::format("{:.0f}", card.bandwidth / 1e9), fmt::format("{:.1f}", card.float32_flops / 1e12),
               fmt::format("{:.0f}", card.half_flops / 1e12)});
  }
  return table.text();
}

std::string source_table() {
  Table table(
      {{"card", Table::Align::left}, {"figure", Table::Align::left}, {"where it comes from", Table::Align::left}});
  for (const Card& card : cards()) {
    table.add({card.name, "capacity", card.capacity_source});
    table.add({"", "context", card.context_source});
    table.add({"", "speeds", card.speed_source});
    table.add({"", "cuDNN's properties", property_summary(card)});
    table.add({"", "decisions", card_decisions(card)->source()});
  }
  return table.text() + fmt::format("\nworkspace of matrix products: {}\n", kMatmulWorkspaceSource);
}

int show(bool json) {
  const Presence cpu = presence_of("cpu"), cuda = presence_of("cuda");
  if (!json) {
    print(real_devices(cpu, cuda) + '\n' + card_table() + '\n' + source_table());
    return fine;
  }
  Json devices = Json::array({to_json(cpu), to_json(cuda)});
  devices.push_back({{"name", "virtual:cpu"}, {"virtual", true}, {"available", true}});
  for (const Card& card : cards()) devices.push_back(to_json(card));
  print_json({{"devices", devices}});
  return fine;
}

}  // namespace

void add_devices(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("devices", "The devices and cards that can be named.");
  const auto json = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "One JSON object on stdout.");
  verb->callback([&action, json] { action = [json] { return show(*json); }; });
}

}  // namespace mnemo::command
