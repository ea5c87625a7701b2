#include "lab_answer.h"

#include <map>

#include <doctest/doctest.h>

#include "program.h"

using nlohmann::json;

json lab(const std::string& name, const std::string& device, const std::string& environment) {
  static std::map<std::string, json> answers;
  const std::string arguments = "lab " + name + " --json --device " + device, key = environment + ' ' + arguments;
  if (answers.contains(key)) return answers[key];
  const Answer answer = mnemo_command(arguments, environment);
  CAPTURE(name);
  CAPTURE(device);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  return answers[key] = answer.json();
}

const json& row_of(const json& lab, const std::string& claim) {
  for (const json& row : lab["rows"]) {
    if (row["claim"] == claim) return row;
  }
  FAIL("no row ", claim);
  return lab;
}

std::string verdict(const json& lab, const std::string& claim) { return row_of(lab, claim)["verdict"]; }

std::int64_t measured(const json& row, const std::string& beginning) {
  for (const auto& [name, value] : row["measured"].items()) {
    if (name.starts_with(beginning)) return value;
  }
  return -1;
}

void check_agreement(const std::string& name) {
  for (const char* device : {"cpu", "virtual:cpu", "virtual:h200", "virtual:a100-80gb", "virtual:rtx4090", "virtual:t4",
                             "virtual:16GiB", "virtual:v100-32gb"}) {
    const json object = lab(name, device);
    CHECK(object["agrees"] == true);
    CHECK(!object["decisions"].get<std::string>().empty());
  }
  // The same where cuDNN is not installed: from tables, or estimated.
  CHECK(lab(name, "virtual:a100-80gb", "CUDNN_ROOT=/nonexistent")["agrees"] == true);
}

std::int64_t blocks(std::int64_t bytes) { return (bytes + 511) / 512 * 512; }
