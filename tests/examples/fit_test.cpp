// mnemo fit: its answers against running the same steps.
#include <doctest/doctest.h>

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

TEST_CASE("fit: what it says of a way to train is what training so does") {
  struct Case {
    const char* batch;
    std::set<std::string> allow;
  };
  const Case cases[] = {{"256", {"accumulate"}},
                        {"256", {"checkpoint"}},
                        {"256", {"amp", "workspace"}},
                        {"512", {"amp", "accumulate", "checkpoint", "optimizer-in-backward"}}};
  for (const Case& each : cases) {
    std::string allow;
    for (const std::string& word : each.allow) allow += (allow.empty() ? "" : ",") + word;
    CAPTURE(allow);
    const json answer =
        fit(std::string("resnet18 --size 64 --device virtual:a100-40gb --memory 1GiB --optimizer adam --batch ") +
            each.batch + " --allow " + allow);
    REQUIRE(answer["fits"] == true);
    CHECK_FALSE(answer["choices"].empty());
    for (const std::string technique : answer["techniques"]) CHECK(each.allow.contains(technique));
    CHECK_FALSE(answer["code"].get<std::string>().empty());
    const json step = mnemo_command("step " + answer["step"].get<std::string>() + " --json").json();
    std::int64_t allocated = 0, reserved = 0;
    for (const json& one : step["runs"][0]["steps"]) {
      allocated = std::max(allocated, one["peak_allocated"].get<std::int64_t>());
      reserved = std::max(reserved, one["peak_reserved"].get<std::int64_t>());
    }
    CHECK(allocated == answer["peak_allocated"]);
    CHECK(reserved == answer["peak_reserved"]);
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
