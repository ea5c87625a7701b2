// A recording of `mnemo parity`, read again and compared with what the virtual device does now.
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "command/command.h"
#include "command/parity.h"
#include "command/training_options.h"
#include "models/layer.h"

namespace mnemo::command {

namespace {

/// Reads members of JSON, each with the place that an error names.
class Place {
 public:
  Place(const Json& value, std::string path) : value_(value), path_(std::move(path)) {}

  [[noreturn]] void refuse(const std::string& what) const { throw FileError(fmt::format("{}: {}", path_, what)); }

  Place operator[](const char* key) const {
    if (!value_.is_object() || !value_.contains(key)) refuse(fmt::format("\"{}\" is missing", key));
    return {value_[key], fmt::format("{}.{}", path_, key)};
  }
  bool has(const char* key) const { return value_.is_object() && value_.contains(key); }
  std::string text() const {
    if (!value_.is_string()) refuse("is no text");
    return value_.get<std::string>();
  }
  /// From `least` on, and below what sums of it could overflow.
  std::int64_t number(std::int64_t least = 0) const {
    constexpr std::int64_t kMost = std::int64_t{1} << 57;
    if (!value_.is_number_integer() || value_.get<std::int64_t>() < least || value_.get<std::int64_t>() > kMost)
      refuse(fmt::format("is no whole number from {} on", least));
    return value_.get<std::int64_t>();
  }
  std::vector<Place> list() const {
    if (!value_.is_array()) refuse("is no list");
    std::vector<Place> places;
    for (std::size_t i = 0; i < value_.size(); ++i) places.emplace_back(value_[i], fmt::format("{}[{}]", path_, i));
    return places;
  }
  bool is_null() const { return value_.is_null(); }

 private:
  const Json& value_;
  std::string path_;
};

training::ParityPoint read_point(const Place& place) {
  training::ParityPoint point;
  const std::string model = place["model"].text();
  try {
    if (models::is_layer(model)) {
      point.spec = models::layer_spec(model);
    } else if (const models::Spec* spec = models::find_spec(model)) {
      point.spec = *spec;
    } else {
      place["model"].refuse(fmt::format("\"{}\" is no model that there is", model));
    }
    training::read_dtype(place["dtype"].text(), point.training);
    point.training.rule = read_rule(place["optimizer"].text());
  } catch (const ConfigError& error) {
    place.refuse(error.what());
  } catch (const UsageError& error) {
    place.refuse(error.what());
  }
  point.training.graph = place.has("graph");
  point.batch = place["batch"].number(1);
  point.size = place["size"].number(point.spec.size == 0 ? 0 : 1);
  if (point.spec.size > 0 && !point.spec.sizes.contains(point.size))
    place["size"].refuse(fmt::format("{} takes {}", model, point.spec.sizes.text()));
  return point;
}

ParityResult read_result(const Place& place) {
  ParityResult result{.point = read_point(place), .device = {}, .twin = {}, .skipped = {}, .difference = {}};
  if (place.has("skipped")) {
    result.skipped = place["skipped"].text();
    return result;
  }
  for (const Place& phase : place["phases"].list()) {
    if (!phase.has("allocated")) continue;  // the twin went on alone
    result.device.push_back({.step = phase["step"].number(),
                             .memory = {.phase = phase["phase"].text(),
                                        .allocated = phase["allocated"].number(),
                                        .reserved = phase["reserved"].number(),
                                        .peak_allocated = phase["peak_allocated"].number(),
                                        .peak_reserved = phase["peak_reserved"].number()}});
  }
  if (result.device.empty()) place["phases"].refuse("says nothing of the device");
  return result;
}

PlanPair read_plans(const Place& place) {
  PlanPair pair{.pass = place["pass"].text(), .device = {}, .twin = {}};
  for (const Place& plan : place["plans"].list()) {
    PlanRow row{.rank = static_cast<int>(pair.device.size()),
                .engine = plan["engine"].text(),
                .state = plan["state"].text(),
                .workspace = 0,
                .notes = {}};
    if (!plan["workspace"].is_null()) row.workspace = plan["workspace"].number();
    for (const Place& note : plan["notes"].list()) row.notes.push_back(note.text());
    pair.device.push_back(std::move(row));
  }
  return pair;
}

ParitySide read_side(const Place& place) {
  return {.device = place["device"].text(),
          .cudnn = place["cudnn"].text(),
          .source = place["source"].text(),
          .context = place["context"].number(),
          .capacity = place["capacity"].number()};
}

/// The twin under the library that the device had: "virtual:h200,cudnn=9.19.0".
std::string twin_text(const Parity& parity) {
  std::string text = parity.against.device;
  const std::string& version = parity.device.cudnn;
  const bool named = text.find("cudnn=") != std::string::npos;
  return card_of_device(text) == nullptr || version.empty() || named ? text : text + ",cudnn=" + version;
}

/// Of what the device ranked, the plans that tables keep: those that a policy can take.
std::vector<PlanRow> kept_by_table(const std::vector<PlanRow>& device, const std::vector<PlanRow>& table) {
  std::vector<PlanRow> rows;
  for (const PlanRow& row : table) {
    if (static_cast<std::size_t>(row.rank) < device.size()) rows.push_back(device[static_cast<std::size_t>(row.rank)]);
  }
  return rows;
}

}  // namespace

Parity read_parity(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();  // which finds nothing in a folder, and in an empty file
  if (!file || content.view().empty()) throw FileError(path + ": cannot be read");
  const Json json = Json::parse(content.str(), nullptr, false);
  if (json.is_discarded()) throw FileError(path + ": is no JSON");
  const Place place(json, path);
  Parity parity;
  parity.device = read_side(place["sides"]["device"]);
  parity.against = read_side(place["sides"]["against"]);
  parity.title = place["title"].text();
  parity.allocator = place["allocator"].text();
  parity.steps = place["steps"].number(1);
  for (const Place& point : place["points"].list()) parity.points.push_back(read_result(point));
  for (const Place& plans : place["plans"].list()) parity.plans.push_back(read_plans(plans));
  if (!parity.against.device.starts_with("virtual:"))
    place["sides"]["against"].refuse(fmt::format("\"{}\" is no virtual device", parity.against.device));
  return parity;
}

void check_again(Parity& parity) {
  std::optional<Device> opened;
  try {
    opened = Device::open(twin_text(parity), memory::AllocatorConfig::parse(parity.allocator));
  } catch (const DeviceError& error) {
    for (ParityResult& result : parity.points) result.skipped = fmt::format("cannot be checked: {}", error.what());
    parity.plans.clear();
    return;
  }
  const Device& twin = *opened;
  parity.against = describe_side(twin);
  std::map<std::string, PlanPair*> known;
  for (PlanPair& pair : parity.plans) known[pair.pass] = &pair;
  for (ParityResult& result : parity.points) {
    if (!result.skipped.empty()) continue;
    const training::ParityRun run = training::run_point(result.point, twin, {.steps = parity.steps});
    if (run.estimated > 0) {
      result.skipped = fmt::format("cannot be checked: {} convolution passes are not known to {}", run.estimated,
                                   parity.against.source);
      continue;
    }
    result.twin = run.moments;  // none where it does not fit, as it did on the device: a difference
    result.difference = training::difference(result.device, result.twin);
    for (const ConvTrace::Entry& entry : run.convolutions) {
      const auto found = known.find(pass_text(entry));
      if (found == known.end() || found->second->asked) continue;
      PlanPair& pair = *found->second;
      pair.twin = plan_rows(entry, twin.backend().decisions());
      if (parity.against.source.starts_with("tables")) pair.device = kept_by_table(pair.device, pair.twin);
      pair.asked = true;
    }
  }
}

}  // namespace mnemo::command
