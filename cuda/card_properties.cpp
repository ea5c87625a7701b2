#include <mnemo/cuda/card_properties.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mnemo/cuda/card_files.h>
#include <mnemo/memory/error.h>

namespace mnemo::cuda {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kInt = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kHuge = std::int64_t{1} << 50;

/// A member of the device properties. `count` 0: a text, 1: an integer, 3: a list of three.
struct Member {
  const char* name;
  std::size_t count;
  std::int64_t least;
  std::int64_t most;
};

constexpr Member kMembers[] = {
    {"deviceName", 0, 0, 0},
    {"cudaDeviceId", 1, 0, kInt},
    {"deviceVer", 1, 100, 10000},
    {"multiProcessorCount", 1, 1, kInt},
    {"driverVer", 1, 1, kInt},
    {"maxSharedMemoryPerBlockOptin", 1, 1, kInt},
    {"totalGlobalMem", 1, 1, kHuge},
    {"maxGridSize", 3, 1, kInt},
    {"maxBlockSize", 3, 1, kInt},
    {"regsPerBlock", 1, 1, kInt},
    {"warpSize", 1, 1, kInt},
    {"maxSharedMemoryPerBlock", 1, 1, kInt},
    {"reservedSharedMemoryPerBlock", 1, 0, kInt},
    {"maxRegistersPerSM", 1, 1, kInt},
    {"maxCtasPerSM", 1, 1, kInt},
    {"maxThreadsPerBlock", 1, 1, kInt},
    {"maxThreadsPerSM", 1, 1, kInt},
    {"pciDeviceId", 1, 0, kInt},
    {"isTccDriver", 1, 0, 1},
    {"supportCoopLaunch", 1, 0, 1},
    {"smClockRateKHz", 1, 1, kInt},
    {"memClockRateKHz", 1, 1, kInt},
    {"l2CacheSize", 1, 1, kInt},
};

constexpr std::string_view kMarks[] = {"from a device", "from public figures", "assumed"};
constexpr std::size_t kLongest = 64 << 10;

/// One file being read.
class Reader {
 public:
  Reader(std::string_view text, const std::string& origin) : origin_(origin) {
    if (text.size() > kLongest) refuse(fmt::format("{} bytes are too many for a card file", text.size()));
    try {
      root_ = Json::parse(text);
    } catch (const Json::exception& error) {
      refuse(fmt::format("not JSON: {}", error.what()));
    }
    if (!root_.is_object()) refuse("a card file is one JSON object with \"card\", \"properties\" and \"sources\"");
    for (const auto& item : root_.items()) {
      if (item.key() != "card" && item.key() != "properties" && item.key() != "sources") {
        refuse(
            fmt::format("unknown member \"{}\"; a card file has \"card\", \"properties\" and \"sources\"", item.key()));
      }
    }
  }

  CardProperties card() const {
    CardProperties card;
    card.name = text_of(root_, "card");
    const Json& properties = member(root_, "properties");
    check_properties(properties);
    const auto version = properties["deviceVer"].get<int>();
    if (version % 10 != 0) refuse(fmt::format("\"deviceVer\" {} is not major * 100 + minor * 10", version));
    card.capability = version / 10;
    card.json = properties.dump();
    read_sources(card);
    return card;
  }

 private:
  [[noreturn]] void refuse(const std::string& text) const { throw FileError(origin_ + ": " + text); }

  const Json& member(const Json& object, const char* name) const {
    const auto found = object.find(name);
    if (found == object.end()) refuse(fmt::format("\"{}\" is missing", name));
    return *found;
  }

  std::string text_of(const Json& object, const char* name) const {
    const Json& value = member(object, name);
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
      refuse(fmt::format("\"{}\" must be a text, not {}", name, value.dump()));
    }
    return value.get<std::string>();
  }

  void check_integer(const Member& rule, const Json& value) const {
    const bool fits = value.is_number_integer() &&
                      !(value.is_number_unsigned() && value.get<std::uint64_t>() > kHuge) &&
                      value.get<std::int64_t>() >= rule.least && value.get<std::int64_t>() <= rule.most;
    if (!fits)
      refuse(fmt::format("\"{}\" must be an integer from {} to {}, not {}", rule.name, rule.least, rule.most,
                         value.dump()));
  }

  void check_properties(const Json& properties) const {
    if (!properties.is_object()) refuse("\"properties\" must be an object");
    for (const Member& rule : kMembers) {
      const Json& value = member(properties, rule.name);
      if (rule.count == 0) {
        text_of(properties, rule.name);
      } else if (rule.count == 1) {
        check_integer(rule, value);
      } else {
        if (!value.is_array() || value.size() != rule.count) {
          refuse(fmt::format("\"{}\" must be a list of {} integers, not {}", rule.name, rule.count, value.dump()));
        }
        for (const Json& one : value) check_integer(rule, one);
      }
    }
    for (const auto& item : properties.items()) {
      if (!is_member(item.key())) refuse(fmt::format("unknown member \"{}\" in \"properties\"", item.key()));
    }
  }

  static bool is_member(const std::string& name) {
    return std::ranges::any_of(kMembers, [&](const Member& rule) { return name == rule.name; });
  }

  /// Every value says where it comes from, exactly once.
  void read_sources(CardProperties& card) const {
    const Json& sources = member(root_, "sources");
    if (!sources.is_array()) refuse("\"sources\" must be a list");
    std::set<std::string> explained;
    for (const Json& entry : sources) {
      if (!entry.is_object())
        refuse("an entry of \"sources\" must be an object with \"members\", \"marked\" and \"source\"");
      CardProperties::Source source{{}, text_of(entry, "marked"), text_of(entry, "source")};
      if (std::ranges::find(kMarks, source.marked) == std::end(kMarks)) {
        refuse(fmt::format("\"marked\" is \"{}\", not \"from a device\", \"from public figures\" or \"assumed\"",
                           source.marked));
      }
      const Json& members = member(entry, "members");
      if (!members.is_array()) refuse("\"members\" must be a list of texts");
      for (const Json& name : members) {
        if (!name.is_string() || !is_member(name.get<std::string>())) {
          refuse(fmt::format("\"sources\" names {}, which is no property", name.dump()));
        }
        source.members.push_back(name.get<std::string>());
        if (!explained.insert(source.members.back()).second)
          refuse(fmt::format("\"{}\" has two sources", source.members.back()));
      }
      card.sources.push_back(std::move(source));
    }
    for (const Member& rule : kMembers) {
      if (!explained.contains(rule.name)) refuse(fmt::format("\"{}\" has no source", rule.name));
    }
  }

  const std::string& origin_;
  Json root_;
};

std::vector<CardProperties> read_built_in() {
  std::vector<CardProperties> cards;
  for (const CardFile& file : card_files()) {
    const std::string origin = std::string(file.name) + ".json";
    cards.push_back(parse_card(file.text, origin));
    if (cards.back().name != file.name)
      throw FileError(fmt::format("{}: names the card {}", origin, cards.back().name));
  }
  return cards;
}

}  // namespace

CardProperties parse_card(std::string_view text, const std::string& origin) { return Reader(text, origin).card(); }

std::span<const CardProperties> card_properties() {
  static const std::vector<CardProperties> cards = read_built_in();
  return cards;
}

const CardProperties* find_card_properties(std::string_view name) {
  const auto all = card_properties();
  const auto found = std::ranges::find(all, name, &CardProperties::name);
  return found == all.end() ? nullptr : &*found;
}

std::string capability_text(int capability) { return fmt::format("{}.{}", capability / 10, capability % 10); }

}  // namespace mnemo::cuda
