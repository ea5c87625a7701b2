// mnemo tune-allocator, and recordings and snapshots as what the verbs take.
#include <string>

#include <doctest/doctest.h>

#include "program.h"

using nlohmann::json;

namespace {

constexpr std::int64_t kMiB = 1 << 20;

/// 40, 44, ... 80 MiB one after the other.
std::string growing() {
  std::string text;
  for (int size = 40; size <= 80; size += 4) text += "alloc,a," + std::to_string(size * kMiB) + ",0\nfree,a\n";
  return text;
}

}  // namespace

TEST_CASE("tune-allocator recommends what is best on paper") {
  const TemporaryFile trace(growing());
  const json object = object_of("tune-allocator " + trace.path());
  CHECK(object["recommended"] == "expandable_segments:True");
  CHECK(object["configs"][0]["allocator"] == "");
  CHECK(object["configs"][0]["peak_reserved"] == 660 * kMiB);
  CHECK(object["configs"][0]["smallest"] == 80 * kMiB);
  CHECK(!object.contains("PYTORCH_CUDA_ALLOC_CONF"));
  const Answer text = mnemo_command("tune-allocator " + trace.path() + " --memory 100MiB");
  CHECK(text.code == 0);
  CHECK(text.out.find("\nMNEMO_ALLOC_CONF=expandable_segments:True\n") != std::string::npos);
  const TemporaryFile plain("alloc,a,67108864,0\n");
  CHECK(mnemo_command("tune-allocator " + plain.path()).out.find("The defaults are best") != std::string::npos);
}

TEST_CASE("tune-allocator runs a model, and refuses what is neither model nor file") {
  const json object = object_of("tune-allocator small-network --device virtual:16GiB --batch 4");
  CHECK(object["configs"].size() > 5);
  CHECK(object["recorded_peak_reserved"] == object["configs"][0]["peak_reserved"]);
  CHECK(mnemo_command("tune-allocator nosuchthing").code == 2);
  const TemporaryFile trace(growing());
  CHECK(mnemo_command("tune-allocator " + trace.path() + " --batch 3").code == 2);
  CHECK(mnemo_command("tune-allocator " + trace.path() + " --memory x").code == 2);
}

TEST_CASE("a model's recording is replayed to the totals after every call, also by way of PyTorch's format") {
  const TemporaryFile recording(""), snapshot(""), again("");
  for (const char* model : {"small-network --batch 4", "resnet18 --batch 2", "conv3d-k3 --batch 1 --optimizer adam"}) {
    CAPTURE(std::string(model));
    const json explained =
        object_of(std::string("explain \"") + model + "\" --device virtual:16GiB --record " + recording.path());
    const json same = object_of("replay " + recording.path());
    CHECK(same["calls"] > 40);
    CHECK(same["calls_that_differ"] == 0);
    CHECK(same["peak_reserved"] == same["recorded"]["peak_reserved"]);
    REQUIRE(mnemo_command("export " + recording.path() + " --format memory-viz -o " + snapshot.path()).code == 0);
    const json imported = object_of("replay " + snapshot.path() + " --record " + again.path());
    CHECK(imported["calls_that_differ"] == 0);
    CHECK(imported["peak_allocated"] == same["peak_allocated"]);
    CHECK(object_of("explain " + again.path())["peak_allocated"] == explained["peak_allocated"]);
    CHECK(object_of("explain " + snapshot.path())["peak_allocated"] == explained["peak_allocated"]);
    const Answer diff = mnemo_command("diff " + recording.path() + " " + snapshot.path() + " --json");
    CHECK(diff.code == 0);
    CHECK(mnemo_command("report " + snapshot.path() + " -o " + again.path()).code == 0);
    CHECK(mnemo_command("export " + snapshot.path() + " --format csv").code == 0);
    CHECK(object_of("tune-allocator " + snapshot.path()).contains("PYTORCH_CUDA_ALLOC_CONF"));
  }
}

TEST_CASE("two runs do not write one file") {
  const TemporaryFile file("untouched");
  CHECK(mnemo_command("diff small-network resnet18 --record " + file.path()).code == 2);
  CHECK(mnemo_command("explain small-network resnet18 --record " + file.path()).code == 2);
  CHECK(file.read() == "untouched");
}
