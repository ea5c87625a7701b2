// mnemo fit: its answers against running the same steps.
#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "examples/program.h"

namespace {

using json = nlohmann::json;

json fit(const std::string& arguments) { return mnemo_command("fit " + arguments + " --json").json(); }

bool step_fits(const std::string& arguments) {
  const Answer answer = mnemo_command("step " + arguments);
  REQUIRE((answer.code == 0 || answer.code == 3));
  return answer.code == 0;
}

}  // namespace

TEST_CASE("fit: the batches that fit are those with which a step ends well") {
  for (const std::string memory : {"40MiB", "90MiB"}) {
    CAPTURE(memory);
    const json found = fit("simple-conv --memory " + memory + " --optimizer adam");
    CHECK(found["exact"] == true);
    CHECK(found["dry_runs"].get<int>() >= found["largest_batch"].get<int>());
    std::set<std::int64_t> fits;
    for (const json& range : found["fits"]) {
      for (std::int64_t batch = range[0]; batch <= range[1].get<std::int64_t>(); ++batch) fits.insert(batch);
    }
    REQUIRE_FALSE(fits.empty());
    CHECK(found["largest_batch"] == *fits.rbegin());
    const std::string step = "simple-conv --device virtual:" + memory + " --optimizer adam --steps 2 --batch ";
    std::int64_t first_failure = 0;
    for (std::int64_t batch = 1; batch <= *fits.rbegin() + 3; ++batch) {
      const bool as_step = step_fits(step + std::to_string(batch));
      CHECK_MESSAGE(as_step == fits.contains(batch), "batch " << batch);
      if (!as_step && first_failure == 0) first_failure = batch;
    }
    CHECK(found["first_failure"]["batch"] == first_failure);
    CHECK(found["first_failure"]["requested"].get<std::int64_t>() > 0);
    CHECK(found["first_failure"]["reason"].get<std::string>().find(found["first_failure"]["op"]) != std::string::npos);
  }
}

TEST_CASE("fit: nothing is -0.0 % more") {
  // In place and in parts a step computes less than the plain way does by so little that it rounds to nothing.
  const std::string out = mnemo_command("fit resnet18 --memory 250MiB --batch 8").out;
  CHECK(out.find("2 batches of 4 per update: 180.00 MiB reserved, +0.0 % operations") != std::string::npos);
  CHECK(out.find("-0.0 ") == std::string::npos);
}

TEST_CASE("fit: a batch whose samples alone do not fit is not searched for long") {
  const auto begin = std::chrono::steady_clock::now();
  const Answer answer = mnemo_command("fit resnet18 --batch 1000000000");
  CHECK(answer.code == 3);
  CHECK(answer.out.find("does not fit in any way") != std::string::npos);
  CHECK(answer.out.find(" TiB allocated") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

namespace {

/// The peaks that `mnemo step` has with the arguments that an answer gives are those that it states.
void check_by_step(const json& answer) {
  const std::string arguments = answer["step"];
  CAPTURE(arguments);
  const json step = mnemo_command("step " + arguments + " --json").json();
  std::int64_t allocated = 0, reserved = 0;
  for (const json& one : step["runs"][0]["steps"]) {
    allocated = std::max(allocated, one["peak_allocated"].get<std::int64_t>());
    reserved = std::max(reserved, one["peak_reserved"].get<std::int64_t>());
  }
  CHECK(allocated == answer["peak_allocated"]);
  CHECK(reserved == answer["peak_reserved"]);
}

}  // namespace

TEST_CASE("fit: a real device is answered for by the virtual one that stands for it") {
  const json real = fit("mlp --limit 4096 --device cpu:32MiB"),
             twin = fit("mlp --limit 4096 --device virtual:cpu:32MiB");
  CHECK(real["fits"] == twin["fits"]);
  CHECK_FALSE(real["fits"].empty());
  CHECK(real["first_failure"].is_object());
}

TEST_CASE("fit: what it says of a way to train is what training so does") {
  const std::string small = "resnet18 --size 64 --device virtual:a100-40gb --memory 1GiB --optimizer adam --batch ";
  const std::string workspaces = "vgg16 --device virtual:a100-40gb --batch 128 --memory ";
  struct Case {
    std::string arguments;
    std::set<std::string> allow;
  };
  const Case cases[] = {
      {small + "256", {"accumulate"}},
      {small + "256", {"checkpoint"}},
      {small + "256", {"amp", "workspace"}},
      {small + "512", {"amp", "accumulate", "checkpoint", "optimizer-in-backward"}},
      {workspaces + "9400MiB", {"workspace"}},
      {workspaces + "9400MiB --policy pytorch", {"workspace"}},
      {workspaces + "9400MiB --policy pytorch --workspace 1GiB,features.2=2GiB", {"workspace"}},
      {workspaces + "9600MiB --policy heuristic --tf32 --layout channels-last", {"workspace", "optimizer-in-backward"}},
      {workspaces + "9400MiB --policy pytorch --steps 1", {"workspace", "in-place", "checkpoint"}}};
  for (const Case& each : cases) {
    std::string allow;
    for (const std::string& word : each.allow) allow += (allow.empty() ? "" : ",") + word;
    CAPTURE(each.arguments);
    CAPTURE(allow);
    const json answer = fit(each.arguments + " --allow " + allow);
    REQUIRE(answer["fits"] == true);
    CHECK_FALSE(answer["choices"].empty());
    for (const std::string technique : answer["techniques"]) CHECK(each.allow.contains(technique));
    CHECK_FALSE(answer["code"].get<std::string>().empty());
    check_by_step(answer);
    for (const json& other : answer["others"]) check_by_step(other);
  }
}

// A recorded step refuses them, and the refusal was all that fit answered.
TEST_CASE("fit: a recorded step is made to fit without accumulating and offloading") {
  const json answer =
      fit("resnet18 --size 64 --batch 16 --device virtual:a100-40gb,580MiB --graph --optimizer adam8bit");
  REQUIRE(answer["fits"] == true);
  CHECK_FALSE(answer["choices"].empty());
  for (const std::string technique : answer["techniques"]) CHECK((technique != "accumulate" && technique != "offload"));
}

// Lost were --master-weights and --graph, --recover was there though it was tried without, and a blank split the
// device.
TEST_CASE("fit: the line that it prints has the peaks that it promises, whatever the run's options are") {
  const std::string small = "simple-conv --device 'virtual:48 MiB' --batch 300 ",
                    net = "resnet18 --size 64 --batch 16 ";
  for (const std::string& arguments :
       {net + "--device virtual:a100-40gb --dtype float16 --master-weights --optimizer adam",
        net + "--device virtual:a100-40gb,580MiB --dtype bfloat16 --master-weights --graph",
        net + "--device virtual:a100-40gb --optimizer adam8bit --graph",
        net + "--device virtual:a100-40gb --graph --amp fp16 --checkpoint 3",
        net + "--device virtual:a100-40gb --recover",
        net + "--device virtual:a100-40gb --policy pytorch --layout channels-last",
        net + "--device virtual:a100-40gb --policy 'deterministic,workspace<=8MiB' --lr 0.25 --in-place",
        net + "--device virtual:a100-40gb,660MiB --optimizer adam --accumulate 2 --amp bf16",
        net + "--device virtual:a100-40gb --no-grad --dtype float64",
        net + "--device virtual:a100-40gb --conv-algorithm direct --offload --optimizer-in-backward",
        small + "--optimizer adam", small + "--accumulate 3 --workspace 1MiB,conv2=0", small + "--steps 3 --recover",
        std::string("conv2d:3,64,k3,p1@64x3x64x64 --device virtual:48MiB --batch 70 --optimizer adam")}) {
    CAPTURE(arguments);
    const json answer = fit(arguments);
    REQUIRE(answer["fits"] == true);
    check_by_step(answer);
    const std::string out = mnemo_command("fit " + arguments).out, label = "run it: mnemo ";
    const std::size_t at = out.find(label);
    REQUIRE((at == std::string::npos) == answer["choices"].empty());
    if (at == std::string::npos) continue;
    const std::string line = out.substr(at + label.size(), out.find('\n', at) - at - label.size());
    CHECK(line == "step " + answer["step"].get<std::string>());
  }
}

// It said "2 batches of 45 per update" beside a line with --accumulate 4, and so did the lines of C++.
TEST_CASE("fit: parts of a run that accumulates already are parts of its parts") {
  const std::string arguments =
      "fit lstm --device virtual:48MiB --batch 90 --accumulate 2 --optimizer adam --allow accumulate";
  const std::string out = mnemo_command(arguments).out;
  CAPTURE(out);
  // Each of the two batches of 90 becomes two of 45.
  CHECK(out.find("fits with 4 batches of 45 per update") != std::string::npos);
  CHECK(out.find("--batch 45 --optimizer adam --accumulate 4 ") != std::string::npos);
  CHECK(out.find("part < 4; ++part) {  // of 45 samples each") != std::string::npos);
  CHECK(out.find("* (1.0 / 4)).backward();") != std::string::npos);
  // What the run does already is in the lines too.
  const json both =
      fit("lstm --device virtual:30MiB --batch 90 --accumulate 2 --optimizer adam --allow accumulate --amp fp16 "
          "--in-place");
  const std::string code = both["code"];
  CHECK(code.find("work_in_place") != std::string::npos);
  CHECK(code.find("scaler.scale((autocast(DType::float16, [&]") != std::string::npos);
  const Answer failed = mnemo_command("step lstm --device virtual:48MiB --batch 90 --accumulate 2 --optimizer adam");
  CHECK(failed.code == 3);
  CHECK(failed.err.find("4 batches of 45 per update fits") != std::string::npos);
}

TEST_CASE("fit: where workspaces alone are in the way, the layers that must give theirs up are named, and no other") {
  const std::string net = "vgg16 --device virtual:a100-40gb --batch 128 --policy pytorch";
  const json whole = fit(net + " --allow none");
  REQUIRE(whole["fits"] == true);
  const json tight = fit(net + " --memory 9400MiB --allow workspace");
  REQUIRE(tight["fits"] == true);
  CHECK(tight["techniques"] == json{"workspace"});
  CHECK(tight["dry_runs"].get<int>() <= 60);
  const std::map<std::string, std::int64_t> limits = tight["workspace"];
  CHECK_FALSE(limits.empty());
  CHECK(limits.size() < 13);  // the convolutions of a VGG-16
  CHECK_FALSE(limits.contains(""));
  const auto text = [&](const std::string& without) {
    std::string list;
    for (const auto& [path, limit] : limits) {
      if (path != without) list += (list.empty() ? "" : ",") + path + "=" + std::to_string(limit);
    }
    return list;
  };
  const std::string step = "vgg16 --device virtual:a100-40gb,9400MiB --batch 128 --policy pytorch --steps 2";
  CHECK_FALSE(step_fits(step));
  CHECK(step_fits(step + " --workspace " + text("")));
  for (const auto& limit : limits) {
    const std::string& path = limit.first;
    CAPTURE(path);
    const std::string rest = text(path);
    CHECK_FALSE(step_fits(step + (rest.empty() ? "" : " --workspace " + rest)));
    CHECK(tight["code"].get<std::string>().find(path + "=") != std::string::npos);
  }
}

TEST_CASE("fit: a batch that fits needs nothing, and one that cannot fit is said to") {
  const json easy = fit("resnet18 --size 64 --device virtual:h200 --batch 4");
  CHECK(easy["fits"] == true);
  CHECK(easy["choices"].empty());
  CHECK(easy["extra_operations"] == 0);
  const Answer hopeless = mnemo_command("fit resnet18 --device virtual:h200 --memory 600MiB --batch 4 --json");
  CHECK(hopeless.code == 3);
  CHECK(hopeless.json()["fits"] == false);
  const Answer none = mnemo_command("fit resnet18 --device virtual:h200 --memory 600MiB --json");
  CHECK(none.code == 3);
  CHECK(none.json()["fits"].empty());
  CHECK(none.json()["largest_batch"] == 0);
}

TEST_CASE("fit: wrong command lines") {
  for (const std::string arguments :
       {"resnet18 --device cpu", "resnet18 --device virtual:cpu", "resnet18 --memory lots", "resnet18 --batch 0",
        "resnet18 --batch 4 --allow magic", "resnet18 --device virtual:16GiB --memory 2GiB", "nothing"}) {
    CAPTURE(arguments);
    const Answer answer = mnemo_command("fit " + arguments);
    CHECK(answer.code == 2);
    CHECK(answer.out.empty());
    CHECK_FALSE(answer.err.empty());
  }
}

TEST_CASE("--workspace: a path that the model does not have is refused with those that it has") {
  const Answer wrong = mnemo_command("step resnet18 --device virtual:a100-40gb --workspace layr3=0");
  CHECK(wrong.code == 2);
  CHECK(wrong.err.find("did you mean layer3?") != std::string::npos);
  const Answer deeper = mnemo_command("fit resnet18 --device virtual:a100-40gb --workspace layer3.0.conv3=0");
  CHECK(deeper.code == 2);
  CHECK(deeper.err.find("layer3.0.downsample") != std::string::npos);
  for (const std::string limits : {"lots", "layer3=", "0,1"}) {
    CAPTURE(limits);
    CHECK(mnemo_command("step resnet18 --device virtual:a100-40gb --workspace " + limits).code == 2);
  }
  const Answer right = mnemo_command("step simple-conv --device virtual:cpu --workspace 1MiB,conv1=0,conv2=8KiB");
  CHECK(right.code == 0);
  CHECK(right.out.find("1MiB,conv1=0,conv2=8KiB") != std::string::npos);
}

TEST_CASE("an OutOfMemory of step names changes that make it fit, and they do") {
  const std::string device = " --device virtual:a100-40gb,2GiB --size 64 --steps 2";
  const Answer failed = mnemo_command("step resnet18 --batch 2000" + device + " --json");
  REQUIRE(failed.code == 3);
  const json changes = failed.json()["oom"]["changes"];
  REQUIRE(changes.size() >= 2);
  const std::string first = changes[0];
  REQUIRE(first.starts_with("batch "));
  CHECK(step_fits("resnet18 --batch " + std::to_string(std::stoi(first.substr(6))) + device));
  CHECK(failed.err.find(first) != std::string::npos);
}

TEST_CASE("step --recover goes on in parts, with the losses of the whole batch") {
  const std::string step = "step simple-conv --batch 48 --steps 3 --optimizer adam --json --device ";
  const json whole = mnemo_command(step + "cpu").json();
  const std::int64_t peak = whole["runs"][0]["steps"][0]["peak_reserved"];
  const Answer parts = mnemo_command(step + "cpu:" + std::to_string(peak * 2 / 3) + " --recover");
  REQUIRE(parts.code == 0);
  CHECK(parts.err.find("parts of") != std::string::npos);
  for (std::size_t i = 0; i < 3; ++i) {
    const double a = whole["runs"][0]["steps"][i]["loss"], b = parts.json()["runs"][0]["steps"][i]["loss"];
    CHECK(b == doctest::Approx(a).epsilon(1e-4));
  }
}

TEST_CASE("step --recover that cannot recover is out of memory, with what makes it fit") {
  const Answer failed = mnemo_command("step resnet18 --batch 8 --size 64 --device virtual:cpu:64MiB --recover");
  CHECK(failed.code == 3);
  CHECK(failed.err.find("out of memory on virtual:cpu:64MiB") != std::string::npos);
  CHECK(failed.err.find("leave out the recovery") == std::string::npos);
}

TEST_CASE("a batch far beyond the device is answered soon: no more parts are tried than can be of use") {
  const Answer failed = mnemo_command("step simple-conv --batch 100000000 --device virtual:h200");
  CHECK(failed.code == 3);
  CHECK(failed.err.find("out of memory on virtual:h200") < failed.err.find("what makes it fit"));
  CHECK(failed.err.find("batch ") != std::string::npos);
}

TEST_CASE("what cannot be written is an error") {
  CHECK(mnemo_command("devices --json >/dev/full").code == 1);
  CHECK(mnemo_command("devices >&-").code == 1);
}
