// mnemo parity: the CPU against its virtual twin, recordings that are checked again, and files that are none.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include <fmt/format.h>

#include "program.h"

using nlohmann::json;

namespace {

/// One model on the CPU, in float32 and bfloat16 autocast with both optimizers.
const json& recorded() {
  static const json object = object_of("parity --device cpu --small --steps 2 --models simple-conv");
  return object;
}

Answer check(const json& recording) {
  const TemporaryFile file(recording.dump());
  return mnemo_command("parity --check " + file.path());
}

}  // namespace

TEST_CASE("parity: every phase of every step on both sides, beside arithmetic on paper") {
  const json& object = recorded();
  CHECK(object["device"] == "cpu");
  CHECK(object["against"] == "virtual:cpu");
  CHECK(object["title"] == "");
  CHECK(object["difference"] == 0);
  CHECK(object["compared"] == 4);
  REQUIRE(object["points"].size() == 4);
  std::set<std::string> kinds;
  for (const json& point : object["points"]) {
    kinds.insert(point["dtype"].get<std::string>() + ' ' + point["optimizer"].get<std::string>());
    CHECK(point["model"] == "simple-conv");
    CHECK(point["batch"] == 2);
    CHECK(point["size"] == 26);
    CHECK(point["difference"] == 0);
    std::string order;
    for (const json& phase : point["phases"]) {
      order += fmt::format("{} {}, ", phase["step"].get<int>(), phase["phase"].get<std::string>());
      for (const char* figure : {"allocated", "reserved", "peak_allocated", "peak_reserved"})
        CHECK(phase[figure] == phase["twin"][figure]);
      CHECK(phase["allocated"] <= phase["peak_allocated"]);
      CHECK(phase["peak_allocated"] <= phase["peak_reserved"]);
    }
    CHECK(order ==
          "0 setup, 1 data, 1 forward, 1 backward, 1 optimizer, 1 end, 2 data, 2 forward, 2 backward, 2 optimizer, "
          "2 end, ");
    // Six parameters in multiples of 512 bytes; then an input of 2 x 3 x 26 x 26 values and two targets.
    constexpr std::int64_t parameters = 3584 + 512 + 73728 + 512 + 64000 + 512;
    CHECK(point["phases"][0]["allocated"] == parameters);
    CHECK(point["phases"][1]["allocated"] == parameters + 16384 + 512);
    // At the end there is a gradient for every parameter, and with Adam two moments.
    CHECK(point["phases"][10]["allocated"] == parameters * (point["optimizer"] == "adam" ? 4 : 2));
  }
  CHECK(kinds ==
        std::set<std::string>{"float32 sgd", "float32 adam", "bfloat16 autocast sgd", "bfloat16 autocast adam"});
  CHECK(object["plans"].size() == 10);  // two convolutions; the first one's input needs no gradient; both dtypes
  for (const json& plans : object["plans"]) {
    CHECK(plans["equal"] == true);
    CHECK(plans["plans"].size() == 2);  // direct and gemm
  }
}

TEST_CASE("parity: a recording is checked by its virtual side alone, and a false number is found") {
  CHECK(check(recorded()).code == 0);
  for (const char* figure : {"allocated", "reserved", "peak_allocated", "peak_reserved"}) {
    CAPTURE(figure);
    json wrong = recorded();
    json& value = wrong["points"][2]["phases"][4][figure];
    value = value.get<std::int64_t>() + 512;
    const Answer answer = check(wrong);
    CHECK(answer.code == 1);
    CHECK(answer.out.find(fmt::format("512  step 1 optimizer: {} ", figure)) != std::string::npos);
    CHECK(answer.out.find("4 of 4 points compared, 1 with a difference") != std::string::npos);
  }
  json shorter = recorded();
  shorter["points"][0]["phases"].erase(10);
  CHECK(check(shorter).code == 1);
  json other = recorded();
  other["plans"][0]["plans"][0]["engine"] = "another";
  const Answer answer = check(other);
  CHECK(answer.code == 0);  // the bytes are the same
  CHECK(answer.out.find("from rank 0 on: another with 0") != std::string::npos);
}

TEST_CASE("parity: every recording of a real device holds for its virtual twin") {
  const std::filesystem::path results = MNEMO_RESULTS;
  std::int64_t count = 0;
  if (std::filesystem::exists(results)) {
    for (const auto& entry : std::filesystem::directory_iterator(results)) {
      const std::filesystem::path path = entry.path() / "parity.json";
      if (!std::filesystem::exists(path)) continue;
      const Answer answer = mnemo_command("parity --check '" + path.string() + "'");
      CAPTURE(path.string());
      CAPTURE(answer.out);
      CAPTURE(answer.err);
      if (answer.code == 77) MESSAGE("SKIPPED: nothing in ", path.string(), " can be checked here");
      CHECK((answer.code == 0 || answer.code == 77));
      ++count;
    }
  }
  if (count == 0) MESSAGE("nothing was recorded on a real device yet");
}

TEST_CASE("parity: cards differ where they do, and their plans too") {
  const std::string run = "parity --models simple-conv --small --dtype float32 --optimizer sgd --device virtual:h200";
  const json same = object_of(run + " --against virtual:h200,24GiB");
  CHECK(same["against"] == "virtual:h200,24GiB");
  CHECK(same["difference"] == 0);
  const json repeated = object_of(run + " --graph --against virtual:h200,24GiB");
  CHECK(repeated["difference"] == 0);
  CHECK(repeated["points"][0]["graph"] == true);
  CHECK(repeated["points"][0]["phases"][2]["phase"] == "graph");
  CHECK(check(repeated).code == 0);
  const json other = object_of(run + " --against virtual:a100-80gb", 1);
  CHECK(other["difference"] > 0);
  CHECK(other["points"][0]["difference"] == other["difference"]);
}

TEST_CASE("parity: a virtual device is not compared with itself") {
  for (const char* devices : {"virtual:h200", "virtual:cpu", "virtual:16GiB", "virtual:h200 --against virtual:h200"}) {
    CAPTURE(devices);
    const Answer answer = mnemo_command(std::string("parity --models mlp --device ") + devices);
    CHECK(answer.code == 2);
    CHECK(answer.out == "");
    CHECK(answer.err.find("a virtual device with itself") != std::string::npos);
  }
  CHECK(mnemo_command("parity --check /").err.find("/: cannot be read") != std::string::npos);
}

TEST_CASE("parity: what cannot be compared is skipped with the reason") {
  const Answer small =
      mnemo_command("parity --device cpu:1MiB --models simple-conv --small --no-plans --optimizer sgd");
  CHECK(small.code == 77);
  CHECK(small.out.find("skipped") != std::string::npos);
  CHECK(small.out.find("0 of 2 points compared") != std::string::npos);
  const Answer slow =
      mnemo_command("parity --device cpu --models simple-conv --small --no-plans --seconds-per-point 1e-9");
  CHECK(slow.code == 77);
  CHECK(slow.out.find("1 of 3 steps took") != std::string::npos);
  const Answer single =
      mnemo_command("parity --device cpu --models resnet18 --batch 1 --small --dtype float32 --no-plans");
  CHECK(single.code == 77);
  CHECK(single.out.find("more than one value per channel") != std::string::npos);
  json other = recorded();
  other["sides"]["against"]["device"] = "virtual:h200";
  other["sides"]["device"]["cudnn"] = "1.2.3";
  const Answer unknown = check(other);
  CHECK(unknown.code == 77);
  CHECK(unknown.out.find("cannot be checked: ") != std::string::npos);
}

TEST_CASE("parity: files that are no recording, and options that do not go together, are refused with the place") {
  const auto refusal = [](auto change) {
    json wrong = recorded();
    change(wrong);
    const Answer answer = check(wrong);
    CHECK(answer.code == 2);
    CHECK(answer.out == "");
    return answer.err;
  };
  const auto says = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  says(refusal([](json& j) { j.erase("points"); }), "\"points\" is missing");
  says(refusal([](json& j) { j = json::array(); }), "\"sides\" is missing");
  says(refusal([](json& j) { j["steps"] = 0; }), ".steps: is no whole number from 1 on");
  says(refusal([](json& j) { j["points"][1]["model"] = "resnet19"; }), "points[1].model: \"resnet19\" is no model");
  says(refusal([](json& j) { j["points"][1]["size"] = 12; }), "simple-conv takes 26 to 29");
  says(refusal([](json& j) { j["points"][0]["dtype"] = "int8"; }), "points[0]: \"int8\" is not one of float32");
  says(refusal([](json& j) { j["points"][0]["phases"][3]["reserved"] = "much"; }),
       "points[0].phases[3].reserved: is no whole number");
  says(refusal([](json& j) { j["points"][0]["phases"][3]["allocated"] = -1; }), "phases[3].allocated: is no whole");
  says(refusal([](json& j) { j["sides"]["against"]["device"] = "cpu"; }), "\"cpu\" is no virtual device");
  const TemporaryFile text("not JSON");
  says(mnemo_command("parity --check " + text.path()).err, "is no JSON");
  says(mnemo_command("parity --check /nonexistent.json").err, "/nonexistent.json: cannot be read");
  says(mnemo_command("parity --check " + text.path() + " --small").err, "excludes");
  says(mnemo_command("parity --device cpu --models resnet19").err, "\"resnet19\" is not one of");
  says(mnemo_command("parity --device cpu --against cpu --models mlp").err, "this is no virtual device");
  says(mnemo_command("parity --device cpu --models mlp --dtype int8").err, "\"int8\" is not one of float32");
  says(mnemo_command("parity --device cpu --models mlp --size 27").err, "--size 27: mlp takes 28");
}
