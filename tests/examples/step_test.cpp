// mnemo step, devices, models and lab: the JSON objects, and what they say.
#include <chrono>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "program.h"

using nlohmann::json;

namespace {

std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

std::int64_t sum(const json& categories) {
  return std::accumulate(categories.begin(), categories.end(), std::int64_t{0},
                         [](std::int64_t total, const json& bytes) { return total + bytes.get<std::int64_t>(); });
}

}  // namespace

TEST_CASE("step has the keys that it promises, and the categories add up to the peak") {
  const json object = object_of("step simple-conv --device virtual:cpu --batch 64,8,32,4 --optimizer adam --steps 2");
  CHECK(keys(object) == std::set<std::string>{"device", "decisions", "model", "dtype", "policy", "parameters", "runs",
                                              "segments", "retries", "ooms", "estimated_workspaces"});
  CHECK(object["device"] == "virtual:cpu");
  CHECK(object["model"] == "simple-conv");
  CHECK(object["parameters"] == 35402);
  CHECK(object["ooms"] == 0);
  CHECK(object["estimated_workspaces"] == 0);
  REQUIRE(object["runs"].size() == 4);
  const std::int64_t batches[] = {64, 8, 32, 4};
  for (std::size_t i = 0; i < 4; ++i) {
    const json& run = object["runs"][i];
    CHECK(keys(run) == std::set<std::string>{"batch", "size", "steps"});
    CHECK(run["batch"] == batches[i]);
    CHECK(run["size"] == 28);
    REQUIRE(run["steps"].size() == 2);
    for (const json& step : run["steps"]) {
      CHECK(keys(step) == std::set<std::string>{"loss", "before_forward", "after_forward", "operations", "allocated",
                                                "reserved", "peak_allocated", "peak_reserved", "peak"});
      CHECK(step["loss"].is_null());
      CHECK(step["allocated"] ==
            4 * (3584 + 512 + 73728 + 512 + 64000 + 512));  // each tensor in blocks of 512, four times
      CHECK(keys(step["peak"]) == std::set<std::string>{"phase", "op", "module", "categories"});
      CHECK(sum(step["peak"]["categories"]) == step["peak_allocated"]);
      CHECK(step["peak_allocated"] <= step["peak_reserved"]);
    }
  }
  CHECK(object["runs"][0]["steps"][1]["peak"]["phase"] == "backward");
  CHECK(object["runs"][0]["steps"][1]["peak"]["module"] == "pool1");
  // In one process reserved never falls by itself.
  for (std::size_t i = 1; i < 4; ++i)
    CHECK(object["runs"][i]["steps"][1]["reserved"] >= object["runs"][i - 1]["steps"][1]["reserved"]);
}

TEST_CASE("step --empty-cache gives the cache back between the batch sizes") {
  const json object = object_of("step simple-conv --device virtual:cpu --batch 64,8 --optimizer adam --empty-cache");
  CHECK(object["runs"][1]["steps"][0]["reserved"] < object["runs"][0]["steps"][0]["reserved"]);
}

TEST_CASE("step on the CPU has the bytes of virtual:cpu, and a loss that the seed decides") {
  const std::string arguments = "step simple-conv --batch 4 --optimizer adam --steps 2 --device ";
  const json real = object_of(arguments + "cpu"), again = object_of(arguments + "cpu"),
             other = object_of(arguments + "cpu --seed 5");
  json virtual_one = object_of(arguments + "virtual:cpu");
  CHECK(real == again);
  CHECK(real != other);
  for (std::size_t i = 0; i < 2; ++i) {
    const double loss = real["runs"][0]["steps"][i]["loss"];
    CHECK(loss > 1.5);
    CHECK(loss < 4);
    virtual_one["runs"][0]["steps"][i]["loss"] = loss;
  }
  virtual_one["device"] = "cpu";
  CHECK(real == virtual_one);
}

TEST_CASE("step --no-grad keeps nothing, and the model stays alone") {
  const json trained = object_of("step resnet18 --device virtual:h200 --batch 4"),
             free = object_of("step resnet18 --device virtual:h200 --batch 4 --no-grad");
  const json &step = free["runs"][0]["steps"][0], &usual = trained["runs"][0]["steps"][0];
  CHECK(step["peak_allocated"] < usual["peak_allocated"]);
  CHECK(!step["peak"]["categories"].contains("saved_activation"));
  CHECK(!step["peak"]["categories"].contains("gradient"));
  CHECK(step["peak"]["phase"] == "forward");
}

TEST_CASE("step --conv-algorithm gemm pays for a workspace") {
  const auto peak = [](const std::string& algorithm) {
    return object_of("step conv3d-k7 --device virtual:cpu --conv-algorithm " +
                     algorithm)["runs"][0]["steps"][0]["peak"]["categories"];
  };
  CHECK(peak("gemm").value("workspace", 0) == 16 * 343 * 1000 * 4);  // 16 channels, 7^3 taps, 10^3 voxels
  CHECK(!peak("direct").contains("workspace"));
}

TEST_CASE("step marks workspaces that it cannot know") {
  // Two convolutions: forward and weight gradient of both, and the data gradient of the second.
  CHECK(object_of("step simple-conv --device virtual:16GiB")["estimated_workspaces"] == 5);
  CHECK(object_of("step simple-conv --device virtual:v100-32gb")["estimated_workspaces"] == 5);
  CHECK(object_of("step simple-conv --device virtual:16GiB --conv-algorithm gemm")["estimated_workspaces"] == 0);
  const Answer answer = mnemo_command("step simple-conv --device virtual:v100-32gb");
  CHECK(answer.out.find("workspace estimated: 5 convolution passes") != std::string::npos);
}

TEST_CASE("step takes a layer, a dtype and a layout in place of a model") {
  const std::string layer = "step conv2d:8,16,k3,p1@2x8x10x12 --device virtual:cpu --no-grad --conv-algorithm direct ";
  const json whole = object_of(layer)["runs"][0]["steps"][0],
             half = object_of(layer + "--dtype float16")["runs"][0]["steps"][0];
  const std::int64_t input = 2 * 8 * 120 * 4, output = 2 * input, weight = 9 * 8 * 16 * 4, bias = 512;
  CHECK(whole["before_forward"] == input + weight + bias);  // all multiples of 512
  CHECK(whole["after_forward"] == input + output + weight + bias);
  CHECK(whole["peak_allocated"] == whole["after_forward"]);
  CHECK(half["after_forward"] == 4096 + output / 2 + 2560 + bias);  // 3840 and 2304 bytes in blocks of 512
  CHECK(whole["loss"].is_null());
  CHECK(object_of(layer + "--batch 4 --size 20")["runs"][0]["steps"][0]["after_forward"] ==
        3 * 4 * 8 * 400 * 4 + weight + bias);
  const Answer answer = mnemo_command("step conv2d:8,16,k3@2x8x10x12 --layout channels-last");
  CHECK(answer.code == 2);
  CHECK(answer.err.find("cpu computes row-major") != std::string::npos);
}

TEST_CASE("step and explain say the sizes of what is not square") {
  const std::string layer = "conv2d:8,16,k3,p1@2x8x20x30 --device virtual:cpu";
  CHECK(mnemo_command("step " + layer).out.find("    2  20x30     1") != std::string::npos);
  const json run = object_of("step " + layer)["runs"][0];
  CHECK(run["extents"] == json::array({20, 30}));
  CHECK_FALSE(object_of("step " + layer + " --size 24")["runs"][0].contains("extents"));
  const Answer sweep = mnemo_command("sweep conv2d:8,16,k3,p1@2x8x20x30 --batch 2:3");
  CHECK(sweep.code == 0);
  CHECK(sweep.out.find("\n    3  20x30  ") != std::string::npos);
  const json fit = object_of("fit conv2d:8,16,k3,p1@2x8x20x30 --memory 100MiB");
  CHECK(fit["largest_batch"] > 100);
  const Answer parity = mnemo_command("parity --device cpu --models conv2d:8,16,k3,p1@2x8x20x30 --small --no-plans");
  CHECK(parity.code == 0);
  CHECK(parity.out.find("  20x30  float32") != std::string::npos);
}

TEST_CASE("step --lr is the learning rate, and none changes nothing") {
  const auto losses = [](const std::string& options) {
    const json object = object_of("step mlp --batch 8 --steps 3 " + options);
    std::vector<double> list;
    for (const json& step : object["runs"][0]["steps"]) list.push_back(step["loss"]);
    return list;
  };
  const std::vector<double> usual = losses("");
  CHECK(losses("--lr 0.01") == usual);
  CHECK(losses("--optimizer adam --lr 1e-3") == losses("--optimizer adam"));
  const std::vector<double> fast = losses("--lr 0.5");
  CHECK(fast[0] == usual[0]);
  CHECK(fast[1] != usual[1]);
  CHECK(mnemo_command("step mlp --lr 0.5 --device virtual:h200").out.find("sgd with learning rate 0.5") !=
        std::string::npos);
  CHECK(object_of("explain mlp --lr 0.5")["about"]["lr"] == "0.5");
  CHECK(object_of("fit mlp --lr 0.5 --batch 8")["step"].get<std::string>().find(" --lr 0.5 ") != std::string::npos);
}

TEST_CASE("one step with an optimizer that has state says that the next may peak higher") {
  const std::string step = "step mlp --device virtual:h200 --optimizer ";
  const char* note = "makes its state at the end of the first step";
  for (const std::string& options :
       {step + "adam", step + "adam8bit", step + "sgd --dtype bfloat16 --master-weights"}) {
    CAPTURE(options);
    CHECK(mnemo_command(options).out.find(note) != std::string::npos);
    // And it is so: the second step has more from its beginning.
    const json steps = object_of(options + " --steps 2")["runs"][0]["steps"];
    CHECK(steps[1]["peak_allocated"] > steps[0]["peak_allocated"]);
    CHECK(mnemo_command(options + " --steps 2").out.find(note) == std::string::npos);
  }
  CHECK(mnemo_command(step + "sgd").out.find(note) == std::string::npos);
  CHECK(mnemo_command(step + "adam --no-grad").out.find(note) == std::string::npos);
}

TEST_CASE("a batch that no technique can make fit is not worth a long search") {
  const auto begin = std::chrono::steady_clock::now();
  const json object = object_of("step resnet18 --batch 1000000000 --device virtual:h200", 3);
  REQUIRE(object["oom"]["changes"].size() == 1);
  CHECK(object["oom"]["changes"][0].get<std::string>().starts_with("batch "));
  CHECK(object["oom"]["requested"] == std::int64_t{1000000000} * 3 * 224 * 224 * 4);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("step takes allocator options") {
  const json object = object_of("step mlp --device virtual:cpu --allocator expandable_segments:True");
  CHECK(object["segments"] == 0);
  CHECK(object["runs"][0]["steps"][0]["reserved"] > 0);
}

TEST_CASE("out of memory exits with 3 and says where") {
  for (const char* device : {"cpu:8MiB", "virtual:cpu:8MiB"}) {
    const json object = object_of(std::string("step simple-conv --batch 1,64 --steps 2 --device ") + device, 3);
    REQUIRE(object.contains("oom"));
    const json& oom = object["oom"];
    CHECK(keys(oom) == std::set<std::string>{"requested", "segment", "allocated", "reserved", "capacity", "free",
                                             "largest_free_block", "phase", "op", "module", "changes"});
    CHECK(oom["capacity"] == 8 << 20);
    CHECK(oom["requested"] == 64 * 32 * 26 * 26 * 4);
    CHECK(oom["segment"] == 20 << 20);
    CHECK(oom["phase"] == "forward");
    CHECK(oom["op"] == "conv2d");
    CHECK(oom["module"] == "conv1");
    CHECK(object["ooms"] == 1);
    REQUIRE(object["runs"].size() == 2);
    CHECK(object["runs"][0]["steps"].size() == 2);
    CHECK(object["runs"][1]["steps"].empty());
  }
}

TEST_CASE("a model that does not fit is out of memory in setup") {
  const json object = object_of("step vgg16 --device virtual:256MiB", 3);
  CHECK(object["parameters"] == 138'357'544);
  CHECK(object["runs"].empty());
  CHECK(object["oom"]["phase"] == "setup");
}

TEST_CASE("out of memory as text is on stderr") {
  const Answer answer = mnemo_command("step simple-conv --device cpu:8MiB");
  CHECK(answer.code == 3);
  CHECK(answer.err.find("out of memory on cpu:8MiB") != std::string::npos);
  CHECK(answer.err.find("likely fix") != std::string::npos);
}

TEST_CASE("devices lists the cards, and why cuda is absent") {
  const json object = object_of("devices");
  std::set<std::string> names;
  for (const json& device : object["devices"]) {
    names.insert(device["name"].get<std::string>());
    if (device["available"] == false) CHECK(!device["reason"].get<std::string>().empty());
    if (device.contains("context")) {
      for (const char* key : {"capacity", "bandwidth", "float32_flops", "half_flops"})
        CHECK(device[key].get<double>() > 0);
      for (const char* key :
           {"capacity_source", "context_source", "speed_source", "matmul_workspace_source", "decisions"})
        CHECK(!device[key].get<std::string>().empty());
      CHECK(device["matmul_workspace"].get<std::int64_t>() >= 4 << 20);
      const bool estimated = device["decisions"].get<std::string>().starts_with("estimated");
      CHECK(device["properties"].empty() == device["compute_capability"].get<std::string>().empty());
      CHECK(device["properties"].empty() == estimated);
    }
  }
  for (const char* name :
       {"cpu", "cuda", "virtual:cpu", "virtual:h200", "virtual:h100-80gb", "virtual:a100-80gb", "virtual:a100-40gb",
        "virtual:v100-32gb", "virtual:rtx4090", "virtual:rtx3060-12gb", "virtual:t4", "virtual:jetson-orin-8gb"}) {
    CAPTURE(name);
    CHECK(names.contains(name));
  }
}

TEST_CASE("models lists the zoo") {
  const json object = object_of("models");
  CHECK(object["models"].size() == 16);
  for (const json& model : object["models"])
    CHECK(keys(model) == std::set<std::string>{"name", "description", "parameters", "batch", "size", "sizes", "input"});
}

TEST_CASE("the labs' predictions are what is measured") {
  for (const char* device : {"virtual:cpu", "virtual:h200", "cpu"}) {
    for (const char* lab : {"batch-size", "resolution"}) {
      const json object = object_of(std::string("lab ") + lab + " --device " + device);
      CHECK(object["agrees"] == true);
      std::string claims;
      for (const json& row : object["rows"]) {
        CHECK(keys(row) == std::set<std::string>{"claim", "statement", "prediction", "measured", "agrees", "verdict",
                                                 "because", "mechanism"});
        claims += row["claim"].get<std::string>() + " " + row["verdict"].get<std::string>() + ", ";
        for (const auto& [name, value] : row["prediction"].items()) CHECK(row["measured"][name] == value);
      }
      CHECK(claims.find(std::string(lab) == "resolution" ? "A1 depends, A2 true, A3 depends, "
                                                         : "E1 false, E2 depends, E3 false, ") == 0);
    }
  }
}

TEST_CASE("a lab that does not fit is out of memory") {
  CHECK(mnemo_command("lab batch-size --device virtual:cpu:4MiB").code == 3);
}

TEST_CASE("tables go to stdout") {
  for (const char* arguments :
       {"devices", "models", "step mlp --device virtual:h200 --batch 64,8", "lab resolution --device virtual:h200"}) {
    CAPTURE(arguments);
    const Answer answer = mnemo_command(arguments);
    CHECK(answer.code == 0);
    CHECK(answer.out.size() > 200);
    CHECK(answer.err == "");
  }
}

// The help said that nothing changes where no step is recorded.
TEST_CASE("step --graph on a CPU computes the same and does not keep the output through backward") {
  const std::string step = "step mlp --batch 64 --device cpu --steps 2";
  const json plain = object_of(step)["runs"][0]["steps"], graph = object_of(step + " --graph")["runs"][0]["steps"];
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(graph[i]["loss"] == plain[i]["loss"]);
    // 64 samples of 10 classes, 4 bytes each.
    CHECK(plain[i]["peak_allocated"].get<std::int64_t>() - graph[i]["peak_allocated"].get<std::int64_t>() == 2560);
  }
  const std::string help = mnemo_command("step --help").out;
  CHECK(help.find("elsewhere nothing changes") == std::string::npos);
}
