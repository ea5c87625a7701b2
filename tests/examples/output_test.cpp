// Files that verbs write: whether they can be is found out before the work, and what is there stays until they are.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>

#include "program.h"

namespace {

/// Runs `arguments` and a path that cannot be written, as which several stand.
void refused(const std::string& arguments, const std::string& option) {
  const TemporaryFile file("");
  for (const std::string& path : {std::string("/nonexistent/folder/file"), std::string("/"), file.path() + "/below"}) {
    const std::string line = arguments + " " + path;
    CAPTURE(line);
    const Answer answer = mnemo_command(line);
    CAPTURE(answer.err);
    CHECK(answer.code == 1);
    CHECK(answer.out == "");
    CHECK(answer.err.starts_with("mnemo: " + option + ": " + path));
    CHECK(answer.err.find("--help") == std::string::npos);
    CHECK(std::count(answer.err.begin(), answer.err.end(), '\n') == 1);
  }
}

}  // namespace

TEST_CASE("what cannot be written is said before any work, with exit code 1") {
  const TemporaryFile trace("alloc,a,1048576,0\nfree,a\n");
  const auto begin = std::chrono::steady_clock::now();
  // Each would take minutes on the CPU, or hours.
  const std::string work = "step resnet50 --batch 64 --steps 1000 ";
  for (const char* option : {"--record", "--report", "--save-weights"}) refused(work + option, option);
  const std::string run = " --device cpu --batch 64 --steps 1000 ";
  for (const char* option : {"--record", "--report"}) {
    refused("explain resnet50" + run + option, option);
  }
  refused("diff resnet50 \"resnet50 --in-place\"" + run + "--report", "--report");
  refused("tune-allocator resnet50" + run + "--record", "--record");
  for (const char* option : {"--csv", "--svg", "--report"})
    refused("sweep resnet50 --batch 1:500 " + std::string(option), option);
  refused("cliffs resnet50 --size 32:1024 --svg", "--svg");
  refused("tabulate", "FILE");
  refused("replay " + trace.path() + " --record", "--record");
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
}

TEST_CASE("files of results are looked at before files of inputs") {
  for (const char* verb : {"export /nonexistent/input --format csv --output", "import /nonexistent/input --output",
                           "report /nonexistent/input --output"})
    refused(verb, "--output");
}

TEST_CASE("a file is not written twice, nor over what is read") {
  const TemporaryFile recording(""), other("");
  REQUIRE(mnemo_command("step mlp --device virtual:cpu --record " + recording.path()).code == 0);
  const std::string before = recording.read(), in = recording.path(), out = other.path();
  for (const std::string& arguments :
       {"step mlp --device virtual:cpu --record " + out + " --report " + out,
        "step mlp --device virtual:cpu --record " + out + ".new --report " + out + ".new",
        "sweep mlp --csv " + out + " --svg " + out, "explain mlp --record " + out + " --report " + out,
        "explain " + in + " --report " + in, "diff mlp " + in + " --report " + in, "report " + in + " -o " + in,
        "export " + in + " --format csv -o " + in, "replay " + in + " --record " + in}) {
    CAPTURE(arguments);
    const Answer answer = mnemo_command(arguments);
    CAPTURE(answer.err);
    CHECK(answer.code == 2);
    CHECK(answer.out == "");
    CHECK(answer.err.find(arguments.find(out) == std::string::npos ? " is read as well" : " name the same file, ") !=
          std::string::npos);
  }
  CHECK(recording.read() == before);
  CHECK(mnemo_command("step mlp --device virtual:cpu --record /dev/null --report /dev/null").code == 0);
}

TEST_CASE("a folder that cannot be made is said before any work as well") {
  for (const char* verb : {"lab resolution --device virtual:h200 --record", "sweep mlp --record"}) {
    CAPTURE(verb);
    const Answer answer = mnemo_command(verb + std::string(" /dev/null/folder"));
    CHECK(answer.code == 1);
    CHECK(answer.out == "");
    CHECK(answer.err.find("--record: /dev/null/folder is no folder and cannot be made one") != std::string::npos);
  }
}

TEST_CASE("to ask whether a file can be written does not change it, nor make it") {
  const TemporaryFile file("what was there");
  const std::string missing = file.path() + ".missing";
  for (const std::string& path : {file.path(), missing}) {
    for (const char* option : {"--report ", "--save-weights "})
      CHECK(mnemo_command("step mlp --size 30 " + (option + path)).code == 2);
    CHECK(mnemo_command("sweep simple-conv --size 40:48 --csv " + path + " --svg " + path).code == 2);
    CHECK(mnemo_command("export /nonexistent/input --format csv -o " + path).code == 2);
  }
  CHECK(file.read() == "what was there");
  CHECK_FALSE(std::filesystem::exists(missing));
}

TEST_CASE("a device that is full is an error of the file, not of the command line") {
  if (!std::filesystem::exists("/dev/full")) return;
  for (const char* arguments : {"sweep mlp --csv /dev/full", "step mlp --device virtual:h200 --report /dev/full",
                                "step mlp --device virtual:h200 --steps 200 --record /dev/full"}) {
    CAPTURE(arguments);
    const Answer answer = mnemo_command(arguments);
    CAPTURE(answer.err);
    CHECK(answer.code == 1);
    CHECK(answer.err.find("/dev/full") != std::string::npos);
  }
}
