#include <doctest/doctest.h>

#include <set>

#include <nlohmann/json.hpp>

#include <mnemo/core/card.h>
#include <mnemo/cuda/card_files.h>
#include <mnemo/cuda/card_properties.h>
#include <mnemo/memory/error.h>

using namespace mnemo;
using namespace mnemo::cuda;
using Json = nlohmann::ordered_json;

namespace {

Json h200() {
  for (const CardFile& file : card_files()) {
    if (std::string_view(file.name) == "h200") return Json::parse(file.text);
  }
  FAIL("h200.json is not built in");
  return {};
}

/// What reading the text says.
std::string refusal(const std::string& text) {
  try {
    parse_card(text, "x.json");
  } catch (const FileError& error) {
    return error.what();
  }
  return "taken";
}

/// The same of h200.json after a change.
template <class Change>
std::string refusal_after(Change change) {
  Json file = h200();
  change(file);
  return refusal(file.dump());
}

}  // namespace

TEST_CASE("card properties: a device is known by the name that its driver gives it") {
  for (const CardProperties& card : card_properties()) {
    CAPTURE(card.name);
    const Card* known = card_of_driver(Json::parse(card.json)["deviceName"].get<std::string>());
    REQUIRE(known != nullptr);
    CHECK(known->name == card.name);
  }
  CHECK(card_of_driver("NVIDIA L4") == find_card("l4"));  // and not L40S
  for (const char* name : {"", "NVIDIA", "NVIDIA H200 NVL", "NVIDIA H100 PCIe", "h200"}) {
    CAPTURE(name);
    CHECK(card_of_driver(name) == nullptr);
  }
}

TEST_CASE("card properties: the cards that are built in") {
  std::set<std::string> names;
  for (const CardProperties& card : card_properties()) names.insert(card.name);
  const std::set<std::string> expected = {"h200", "h100",    "a100-80gb", "a100-40gb",    "b200", "l4",
                                          "l40s", "rtx4090", "rtx3090",   "rtx3060-12gb", "t4"};
  CHECK(names == expected);
  CHECK(find_card_properties("h200")->capability == 90);
  CHECK(find_card_properties("b200")->capability == 100);
  CHECK(find_card_properties("t4")->capability == 75);
  CHECK(find_card_properties("v100-32gb") == nullptr);
  CHECK(find_card_properties("") == nullptr);
  CHECK(capability_text(75) == "7.5");
  CHECK(capability_text(120) == "12.0");
}

TEST_CASE("card properties: a card has one capacity, whoever is asked") {
  for (const CardProperties& card : card_properties()) {
    CAPTURE(card.name);
    REQUIRE(find_card(card.name) != nullptr);
    CHECK(Json::parse(card.json)["totalGlobalMem"].get<memory::Bytes>() == find_card(card.name)->capacity);
  }
}

TEST_CASE("card properties: every value has a source") {
  for (const CardProperties& card : card_properties()) {
    CAPTURE(card.name);
    std::size_t explained = 0;
    for (const auto& source : card.sources) {
      CHECK(source.text.size() > 10);
      explained += source.members.size();
    }
    CHECK(explained == Json::parse(card.json).size());
  }
}

TEST_CASE("card properties: what is given to the library is what the file says") {
  const CardProperties card = parse_card(h200().dump(), "h200.json");
  CHECK(Json::parse(card.json) == h200()["properties"]);
  CHECK(card.json.find("\"deviceVer\":900") != std::string::npos);
}

TEST_CASE("card properties: wrong files are refused, with the file and the member") {
  CHECK(refusal("").starts_with("x.json: not JSON: "));
  CHECK(refusal("{").starts_with("x.json: not JSON: "));
  CHECK(refusal("{\"card\": \"\xff\"}").starts_with("x.json: not JSON: "));
  CHECK(refusal("[]") == "x.json: a card file is one JSON object with \"card\", \"properties\" and \"sources\"");
  CHECK(refusal("{}") == "x.json: \"card\" is missing");
  CHECK(refusal(std::string(100'000, ' ')) == "x.json: 100000 bytes are too many for a card file");
  CHECK(refusal(std::string(60'000, '[')).starts_with("x.json: not JSON: "));
  CHECK(refusal(std::string(30'000, '[') + std::string(30'000, ']'))
            .starts_with("x.json: a card file is one JSON object"));

  CHECK(refusal_after([](Json& file) { file["cards"] = 1; }) ==
        "x.json: unknown member \"cards\"; a card file has \"card\", \"properties\" and \"sources\"");
  CHECK(refusal_after([](Json& file) { file["card"] = 7; }) == "x.json: \"card\" must be a text, not 7");
  CHECK(refusal_after([](Json& file) { file["properties"] = 7; }) == "x.json: \"properties\" must be an object");
  CHECK(refusal_after([](Json& file) { file.erase("sources"); }) == "x.json: \"sources\" is missing");
}

TEST_CASE("card properties: wrong values are refused") {
  auto with = [](const char* member, const Json& value) {
    return refusal_after([&](Json& file) { file["properties"][member] = value; });
  };
  const Json properties = h200()["properties"];
  for (const auto& item : properties.items()) {
    CAPTURE(item.key());
    CHECK(refusal_after([&](Json& file) { file["properties"].erase(item.key()); }) ==
          "x.json: \"" + item.key() + "\" is missing");
    CHECK(with(item.key().c_str(), nullptr).starts_with("x.json: \"" + item.key() + "\" must be a"));
    CHECK(with(item.key().c_str(), -1).starts_with("x.json: \"" + item.key() + "\" must be a"));
  }
  CHECK(with("warpSize", 0) == "x.json: \"warpSize\" must be an integer from 1 to 2147483647, not 0");
  CHECK(with("warpSize", 32.0) == "x.json: \"warpSize\" must be an integer from 1 to 2147483647, not 32.0");
  CHECK(with("warpSize", "32") == "x.json: \"warpSize\" must be an integer from 1 to 2147483647, not \"32\"");
  CHECK(with("warpSize", 18446744073709551615u).find("not 18446744073709551615") != std::string::npos);
  CHECK(with("deviceVer", 905) == "x.json: \"deviceVer\" 905 is not major * 100 + minor * 10");
  CHECK(with("maxGridSize", {1, 2}) == "x.json: \"maxGridSize\" must be a list of 3 integers, not [1,2]");
  CHECK(with("maxGridSize", {1, 2, 0}).starts_with("x.json: \"maxGridSize\" must be an integer from 1"));
  CHECK(with("deviceName", "") == "x.json: \"deviceName\" must be a text, not \"\"");
  CHECK(with("l3CacheSize", 1) == "x.json: unknown member \"l3CacheSize\" in \"properties\"");
}

TEST_CASE("card properties: wrong sources are refused") {
  CHECK(refusal_after([](Json& file) { file["sources"] = Json::array(); }) == "x.json: \"deviceName\" has no source");
  CHECK(refusal_after([](Json& file) { file["sources"] = 1; }) == "x.json: \"sources\" must be a list");
  CHECK(refusal_after([](Json& file) {
          file["sources"][0] = 1;
        }).starts_with("x.json: an entry of \"sources\" must be an object"));
  CHECK(refusal_after([](Json& file) { file["sources"][0]["marked"] = "guessed"; }) ==
        "x.json: \"marked\" is \"guessed\", not \"from a device\", \"from public figures\" or \"assumed\"");
  CHECK(refusal_after([](Json& file) { file["sources"][0]["members"].push_back("warpSize"); }) ==
        "x.json: \"warpSize\" has two sources");
  CHECK(refusal_after([](Json& file) { file["sources"][0]["members"].push_back("size"); }) ==
        "x.json: \"sources\" names \"size\", which is no property");
  CHECK(refusal_after([](Json& file) { file["sources"][0]["members"] = "warpSize"; }) ==
        "x.json: \"members\" must be a list of texts");
}
