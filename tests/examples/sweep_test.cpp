// mnemo sweep: the rows are what mnemo step measures, and what rises with less is found.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "program.h"

using nlohmann::json;

TEST_CASE("sweep: every row is the second step of mnemo step on a new device") {
  const json sweep =
      object_of("sweep simple-conv --batch 8:24:8 --size 27:28:1 --device virtual:cpu:1GiB --optimizer adam");
  REQUIRE(sweep["rows"].size() == 6);
  CHECK(sweep["capacity"] == std::int64_t{1} << 30);
  for (const json& row : sweep["rows"]) {
    const json step = object_of("step simple-conv --device virtual:cpu:1GiB --optimizer adam --steps 2 --batch " +
                                row["batch"].dump() + " --size " + row["size"].dump())["runs"][0]["steps"][1];
    for (const char* key : {"allocated", "peak_allocated", "peak_reserved"}) CHECK(row[key] == step[key]);
    CHECK(row["fits"] == true);
  }
  CHECK(sweep["rises"].empty());
}

TEST_CASE("sweep: where less needs more is found, with its cause") {
  const json sweep = object_of(
      "sweep conv2d:256,256,k7,p3@1x256x48x48 --size 48:64:16 --policy heuristic --tf32 --device virtual:h200");
  if (sweep["decisions"].get<std::string>().find("9.19.0") == std::string::npos) return;
  REQUIRE(sweep["rises"].size() == 1);
  const json& rise = sweep["rises"][0];
  CHECK(rise["along"] == "size");
  CHECK(rise["from"] == 64);
  CHECK(rise["to"] == 48);
  CHECK(rise["bytes"] == sweep["rows"][0]["peak_allocated"].get<std::int64_t>() -
                             sweep["rows"][1]["peak_allocated"].get<std::int64_t>());
  CHECK(rise["cause"].get<std::string>().find("weight gradient eng34") != std::string::npos);
}

TEST_CASE("sweep: a layer has the sizes of its own input unless others are given") {
  const TemporaryFile table(""), picture("");
  const Answer answer =
      mnemo_command("sweep conv2d:8,16,k3,p1@2x8x20x30 --batch 2:3 --csv " + table.path() + " --svg " + picture.path());
  CHECK(answer.code == 0);
  CHECK(table.read().find("\n3,20x30,") != std::string::npos);
  CHECK(picture.read().find("size 20x30") != std::string::npos);
}

TEST_CASE("sweep: what does not fit is a row without bytes, in the table, the CSV and the picture") {
  const TemporaryFile table(""), picture("");
  const Answer answer = mnemo_command("sweep resnet18 --batch 1:9:4 --device virtual:256MiB --csv " + table.path() +
                                      " --svg " + picture.path());
  CHECK(answer.code == 0);
  CHECK(answer.out.find("out of memory: asked for") != std::string::npos);
  std::istringstream lines(table.read());
  std::string line;
  std::getline(lines, line);
  CHECK(line == "batch,size,allocated,peak_allocated,peak_reserved,capacity,fits");
  std::getline(lines, line);
  CHECK(line.starts_with("1,224,"));
  CHECK(line.ends_with(",268435456,true"));
  std::string last;
  while (std::getline(lines, line)) last = line;
  CHECK(last == "9,224,,,,268435456,false");
  CHECK(picture.read().starts_with("<svg"));
  CHECK(picture.read().find("capacity") != std::string::npos);
}
