// mnemo cliffs: the numbers of the real library, the JSON object, the picture, and wrong command lines.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "program.h"

using nlohmann::json;

namespace {

constexpr const char* kLayer = "conv2d:256,256,k7,p3@1x256x48x48";

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

json cliffs(const std::string& arguments) {
  const Answer answer = mnemo_command("cliffs " + arguments + " --json");
  CAPTURE(arguments);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  CHECK(answer.err == "");
  return answer.json();
}

/// The figures below are those of one version.
bool is_known_version() {
  const json plans = mnemo_command(std::string("plans ") + kLayer + " --device virtual:h200 --json").json();
  if (plans["cudnn"] == "9.19.0") return true;
  MESSAGE("SKIPPED: needs the decisions of cuDNN 9.19.0, here they are those of ", plans["source"].get<std::string>());
  return false;
}

std::int64_t workspace(const json& row, const std::string& direction) {
  for (const json& pass : row["workspaces"]) {
    if (pass["direction"] == direction) return pass["workspace"];
  }
  return -1;
}

}  // namespace

TEST_CASE("a convolution on an H200 needs more at 48 than at any other size, as does the whole step") {
  if (!is_known_version()) return;
  const json object = cliffs(std::string(kLayer) + " --size 40:112 --tf32 --device virtual:h200");
  const json& device = object["devices"][0];
  CHECK(device["cudnn"] == "9.19.0");
  CHECK(device["estimated_workspaces"] == 0);
  std::map<std::int64_t, std::int64_t> weight_gradients, peaks;
  for (const json& row : device["rows"]) {
    weight_gradients[row["size"]] = workspace(row, "weight_gradient");
    peaks[row["size"]] = row["peak_allocated"];
  }
  const std::map<std::int64_t, double> megabytes{{40, 106}, {48, 249}, {56, 238}, {64, 47}, {80, 52}, {112, 64}};
  for (const auto& [edge, expected] : megabytes) {
    const std::int64_t size = edge;  // a lambda of clang 14 takes no binding
    CAPTURE(size);
    CHECK(std::round(static_cast<double>(weight_gradients[size]) / 1e6) == expected);
  }
  const auto highest = std::ranges::max_element(peaks, {}, [](const auto& peak) { return peak.second; });
  CHECK(highest->first == 48);
  // Weight and its gradient (256 x 256 x 7 x 7), and input and output at least, are there beside the workspace.
  CHECK(peaks[48] >= weight_gradients[48] + 2 * 4 * (256 * 256 * 49 + 256 * 48 * 48));

  REQUIRE(device["cliffs"].size() == 2);  // the largest first
  const json &of_workspace = device["cliffs"][0], &of_peak = device["cliffs"][1];
  CHECK(of_workspace["metric"] == "workspace");
  CHECK(of_workspace["bytes"] == weight_gradients[48] - weight_gradients[64]);
  CHECK(of_peak["metric"] == "peak_allocated");
  CHECK(of_peak["bytes"] == peaks[48] - peaks[64]);
  for (const json& cliff : device["cliffs"]) {
    CHECK(cliff["from"] == 64);
    CHECK(cliff["to"] == 48);
    CHECK(cliff["module"] == "conv");
    CHECK(cliff["direction"] == "weight_gradient");
    CHECK(cliff["workspace_after"] == weight_gradients[48]);
  }
}

TEST_CASE("cliffs says in a sentence what rises, or that nothing does") {
  if (!is_known_version()) return;
  const std::string layer = std::string("cliffs ") + kLayer + " --tf32 --device virtual:h200 --size ";
  const std::string here = mnemo_command(layer + "48:64").out;
  CHECK(contains(here, "from 64 down to 48 the step's peak rises by 189.00 MiB"));
  // The same engine, whose sum over the batch and the voxels is split into 18 parts (k0) instead of 2.
  CHECK(contains(here, "conv weight gradient eng34_k0=18_"));
  CHECK(contains(here, " needs 237.25 MiB instead of eng34_k0=2_"));
  const std::string there = mnemo_command(layer + "64:112").out;
  CHECK(contains(there, "none: no smaller size from 64 to 112 makes the whole step need more"));
  CHECK(contains(there, "none: no smaller size from 64 to 112 makes a workspace larger"));
}

TEST_CASE("another layer has its cliff on another card, where the engine changes") {
  if (!is_known_version()) return;
  // 1313 MB at 200, 824 MB at 224.
  const json object = cliffs(
      "conv2d:256,256,k3,p1@16x256x48x48 --size 200:224:24 --layout channels-last --tf32 "
      "--device virtual:rtx4090");
  const json& rows = object["devices"][0]["rows"];
  CHECK(std::round(static_cast<double>(workspace(rows[0], "forward")) / 1e6) == 1313);
  CHECK(std::round(static_cast<double>(workspace(rows[1], "forward")) / 1e6) == 824);
  const json& cliff = object["devices"][0]["cliffs"][0];
  CHECK(cliff["direction"] == "forward");
  CHECK(cliff["engine_before"] != cliff["engine_after"]);
}

TEST_CASE("cliffs has the keys that it promises, for every device, batch and size") {
  const json object = cliffs(
      "conv3d:16,32,k3,p1@4x16x32x32x32 --size 8:24 --batch 4,2,4 "
      "--device virtual:16GiB,virtual:cpu,virtual:h200");
  CHECK(keys(object) == std::set<std::string>{"model", "dtype", "policy", "devices", "skipped"});
  CHECK(object["policy"] == "heuristic");
  REQUIRE(object["devices"].size() == 3);
  for (const json& device : object["devices"]) {
    CHECK(keys(device) == std::set<std::string>{"device", "cudnn", "source", "estimated_workspaces", "rows", "cliffs"});
    REQUIRE(device["rows"].size() == 6);
    for (std::size_t i = 0; i < 6; ++i) {
      const json& row = device["rows"][i];
      CHECK(keys(row) == std::set<std::string>{"batch", "size", "peak_allocated", "peak_reserved",
                                               "estimated_workspaces", "workspaces"});
      CHECK(row["batch"] == (i < 3 ? 2 : 4));
      CHECK(row["size"] == 8 + 8 * (i % 3));
      CHECK(row["peak_allocated"] <= row["peak_reserved"]);
      REQUIRE(row["workspaces"].size() == 3);
      for (const json& pass : row["workspaces"])
        CHECK(keys(pass) == std::set<std::string>{"module", "direction", "engine", "workspace", "estimated"});
    }
  }
  CHECK(object["devices"][0]["estimated_workspaces"] == 18);  // of a card that nobody knows
  CHECK(object["devices"][1]["estimated_workspaces"] == 0);
}

TEST_CASE("a row of cliffs is what step says") {
  const json object = cliffs("simple-conv --size 26:28:1 --device virtual:h200");
  const json& rows = object["devices"][0]["rows"];
  REQUIRE(rows.size() == 3);
  for (const json& row : rows) {
    const json step =
        mnemo_command("step simple-conv --steps 2 --policy heuristic --device virtual:h200 --json --size " +
                      std::to_string(row["size"].get<int>()))
            .json();
    CHECK(row["peak_allocated"] == step["runs"][0]["steps"][1]["peak_allocated"]);
    CHECK(row["peak_reserved"] == step["runs"][0]["steps"][1]["peak_reserved"]);
  }
}

TEST_CASE("a size that does not fit is a row with what it asked for") {
  const json object =
      cliffs("conv3d:16,32,k3,p1@4x16x32x32x32 --size 32:128:96 --policy direct --device virtual:256MiB");
  const json& rows = object["devices"][0]["rows"];
  CHECK(!rows[0].contains("oom"));
  CHECK(rows[1]["peak_allocated"].is_null());
  CHECK(rows[1]["peak_reserved"].is_null());
  // The input, 4 x 16 x 128^3 float32, is asked for first or the output, twice as large.
  CHECK(rows[1]["oom"]["requested"].get<std::int64_t>() % (4 * 16 * 128 * 128 * 128 * 4) == 0);
  CHECK(object["devices"][0]["cliffs"].empty());
}

TEST_CASE("sizes that the model does not take are skipped with the reason; if all are, it is a usage error") {
  const json object = cliffs("unet3d --size 6:12:2 --device virtual:cpu");
  CHECK(object["devices"][0]["rows"].size() == 2);
  REQUIRE(object["skipped"].size() == 2);
  CHECK(object["skipped"][0]["size"] == 6);
  CHECK(contains(object["skipped"][0]["reason"], "multiples of 4"));
  CHECK(cliffs("conv2d:3,8,k9@1x3x16x16 --size 8:16:8 --device virtual:cpu")["skipped"].size() == 1);
  const Answer none = mnemo_command("cliffs unet3d --size 5:6:1 --device virtual:cpu");
  CHECK(none.code == 2);
  CHECK(contains(none.err, "multiples of 4"));
}

TEST_CASE("a device's cuDNN version is read as its own, not as another device") {
  const json one = cliffs("mlp --size 28:28 --device virtual:cpu,virtual:16GiB");
  CHECK(one["devices"].size() == 2);
  if (!is_known_version()) return;
  const json object = cliffs(std::string(kLayer) + " --size 48:56 --device virtual:h200,cudnn=9.19.0,virtual:t4");
  REQUIRE(object["devices"].size() == 2);
  CHECK(object["devices"][0]["device"] == "virtual:h200,cudnn=9.19.0");
  CHECK(object["devices"][1]["device"] == "virtual:t4");
}

TEST_CASE("the picture of cliffs is well-formed and has a line for every card and batch in each panel") {
  const TemporaryFile picture("");
  const std::string arguments =
      "conv3d:16,32,k3,p1@4x16x32x32x32 --size 8:24 --batch 2,4 --device virtual:16GiB,virtual:cpu";
  const Answer answer = mnemo_command("cliffs " + arguments + " --svg '" + picture.path() + "'");
  CHECK(answer.code == 0);
  const std::string svg = picture.read();
  CHECK(count(svg, "<polyline") == 4 * 4);  // the step's peak and three workspaces
  CHECK(contains(svg, "virtual:16GiB, batch 2"));
  CHECK(contains(svg, "prefers-color-scheme: dark"));
  CHECK(contains(svg, "workspace estimated on virtual:16GiB: 18 of 18 passes"));
  CHECK(!contains(svg, "<script"));
  for (const std::string element : {"svg", "g", "text", "title", "style"})
    CHECK(count(svg, "<" + element + ">") + count(svg, "<" + element + " ") == count(svg, "</" + element + ">"));
  if (std::system("python3 -c pass >/dev/null 2>&1") != 0) {
    MESSAGE("SKIPPED: reading the picture as XML needs python3");
    return;
  }
  const std::string read =
      "python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' '" + picture.path() + "'";
  CHECK(std::system(read.c_str()) == 0);
}

TEST_CASE("wrong command lines of cliffs") {
  const struct {
    const char* arguments;
    const char* says;
  } wrong[] = {
      {"", "required"},
      {"mlp", "--size is required"},
      {"resnet --size 8:16", "did you mean resnet18?"},
      {"mlp --size 28", "\"28\" is not a range A:B or A:B:STEP"},
      {"mlp --size 28:28:1:1", "is not a range"},
      {"mlp --size 28:", "--size: \"\""},
      {"mlp --size 28:x", "--size: \"x\""},
      {"mlp --size 28:36:0", "--size: \"0\""},
      {"mlp --size 36:28", "larger end first"},
      {"mlp --size 1:9223372036854775807", "the most is 1000"},
      {"mlp --size 28:28 --batch 0", "--batch: \"0\""},
      {"mlp --size 28:28 --device cpu", "\"cpu\" is not a virtual device"},
      {"mlp --size 28:28 --device ''", "\"\" is not a virtual device"},
      {"mlp --size 28:28 --device virtual:cpu,", "\"\" is not a virtual device"},
      {"mlp --size 28:28 --device cudnn=9.19.0", "is not a virtual device"},
      {"mlp --size 28:28 --device virtual:cpu,virtual:cpu", "virtual:cpu is given twice"},
      {"mlp --size 28:28 --device virtual:h2000", "CARD one of"},
      {"mlp --size 28:28 --device virtual:h200,cudnn=1.2.3", "no table of cuDNN 1.2.3"},
      {"mlp --size 28:28 --device virtual:cpu --layout channels-last", "row-major"},
      {"mlp --size 29:30 --device virtual:cpu", "mlp takes --size 28"},
      {"mlp --size 28:28 --sgv x", "did you mean --svg?"},
  };
  for (const auto& line : wrong) {
    for (const char* as_json : {"", " --json"}) {
      const Answer answer = mnemo_command(std::string("cliffs ") + line.arguments + as_json);
      CAPTURE(line.arguments);
      CAPTURE(answer.err);
      CHECK(answer.code == 2);
      CHECK(answer.out == "");
      CHECK(contains(answer.err, *as_json == '\0' ? line.says : "--help"));
    }
  }
}
