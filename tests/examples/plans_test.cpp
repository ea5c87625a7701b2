// mnemo plans: the JSON object, against workspaces that were noted down from the library.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

#include "program.h"

using nlohmann::json;

namespace {

bool is_known_version(const json& object) {
  if (object["cudnn"] == "9.19.0") return true;
  MESSAGE("SKIPPED: the known workspaces are those of cuDNN 9.19.0, and this is ", object["source"].get<std::string>());
  return false;
}

std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

/// The plan of a layer's list that was taken.
json taken(const json& layer) {
  for (const json& plan : layer["plans"]) {
    if (plan["engine"] == layer["taken"]) return plan;
  }
  return {};
}

}  // namespace

TEST_CASE("plans: a layer in its three directions, with the workspaces of the library") {
  struct Row {
    const char* layer;
    const char* dtype;
    std::int64_t workspaces[3];
  };
  const Row rows[] = {
      {"conv2d:3,32,k3@64x3x28x28", "float32", {0, 0, 0}},
      {"conv2d:3,32,k3@64x3x28x28", "bfloat16", {0, 807571, 1823659}},
      {"conv2d:32,64,k3@64x32x13x13", "float32", {0, 3440656, 4030608}},
      {"conv3d:16,32,k3,p2@1x16x32x32x32", "float32", {7183507, 7183507, 9592599}},
      {"conv1d:128,64,k3@16x128x1024", "float32", {12673171, 12673171, 12968183}},
  };
  const char* directions[] = {"forward", "data_gradient", "weight_gradient"};
  for (const Row& row : rows) {
    CAPTURE(row.layer);
    const json object =
        object_of(std::string("plans ") + row.layer + " --tf32 --device virtual:h200 --dtype " + row.dtype);
    if (!is_known_version(object)) return;
    CHECK(object["device"] == "virtual:h200");
    REQUIRE(object["layers"].size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      const json& layer = object["layers"][i];
      for (const char* key :
           {"module", "direction", "input", "weight", "dtype", "layout", "plans", "taken", "estimated"}) {
        CHECK(layer.contains(key));
      }
      CHECK(layer["direction"] == directions[i]);
      CHECK(layer["dtype"] == row.dtype);
      CHECK(layer["layout"] == (std::string(row.dtype) == "float32" ? "contiguous" : "channels_last"));
      CHECK(layer["workspace"] == row.workspaces[i]);
      if (layer["estimated"] == true) continue;  // only where neither library nor table knows the layer
      CHECK(taken(layer)["workspace"] == row.workspaces[i]);
      int last = -1;
      for (const json& plan : layer["plans"]) {
        CHECK(keys(plan).contains("notes"));
        CHECK(plan["rank"].get<int>() > last);
        last = plan["rank"].get<int>();
      }
    }
  }
}

TEST_CASE("plans: a model's convolutions by module, and policies") {
  const std::string command = "plans resnet18 --batch 8 --device virtual:a100-80gb --policy ";
  const json favourite = object_of(command + "heuristic"), none = object_of(command + "zero-workspace");
  if (!is_known_version(favourite)) return;
  CHECK(favourite["layers"].size() == 20 + 19 + 20);  // the input needs no gradient
  std::int64_t most = 0;
  for (const json& layer : favourite["layers"]) most = std::max(most, layer["workspace"].get<std::int64_t>());
  CHECK(most > 0);
  for (const json& layer : none["layers"]) CHECK(layer["workspace"] == 0);
  CHECK(favourite["layers"][0]["module"] == "conv1");
  CHECK(favourite["estimated_workspaces"] == 0);
}

TEST_CASE("plans: what cannot be planned says why, and what is done instead") {
  const json cut = object_of("plans conv3d:64,32,k3,p1@1x64x362x370x251 --dtype float16 --device virtual:a100-80gb");
  const json unfolded = object_of(
      "plans conv3d:64,32,k3,p1@1x64x362x370x251 --dtype float16 --device virtual:a100-80gb --policy pytorch");
  for (const json* object : {&cut, &unfolded}) {
    for (const json& layer : (*object)["layers"]) {
      CHECK(layer["plans"].empty());
      CHECK(layer["obstacle"] == "the input (1, 64, 362, 370, 251) has 2^31 elements or more");
    }
  }
  CHECK(cut["layers"][0]["taken"] == "split");
  CHECK(cut["layers"][0]["split"]["axis"] == "depth");
  CHECK(unfolded["layers"][0]["taken"] == "gemm");
  CHECK(unfolded["layers"][0]["workspace"] == std::int64_t{64} * 27 * 362 * 370 * 251 * 2);
  const json estimated = object_of("plans simple-conv --device virtual:v100-32gb");
  CHECK(estimated["estimated_workspaces"] == 5);
  CHECK(estimated["cudnn"] == "");
  CHECK(mnemo_command("plans mlp --device virtual:h200").out.find("no convolution") != std::string::npos);
}

TEST_CASE("plans: the text marks what is taken") {
  const Answer answer = mnemo_command("plans conv2d:256,256,k7,p3@1x256x48x48 --device virtual:h200 --tf32");
  CHECK(answer.code == 0);
  CHECK(answer.err == "");
  if (answer.out.find("9.19.0") == std::string::npos) return;
  CHECK(answer.out.find("->     0  eng34_k0=18") != std::string::npos);
  CHECK(answer.out.find("248,774,800") != std::string::npos);
  const Answer summary = mnemo_command("plans resnet18 --device virtual:h200 --summary");
  CHECK(summary.out.find("->") == std::string::npos);
  CHECK(summary.out.find("layer4.1.conv2") != std::string::npos);
}
