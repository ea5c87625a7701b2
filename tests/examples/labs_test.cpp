// mnemo lab: its figures against numbers from paper and from the issues of those who measured them, and its verdicts.
#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include <doctest/doctest.h>

#include <mnemo/mnemo.h>

#include "lab_answer.h"
#include "program.h"
#include "temporary_folder.h"

using nlohmann::json;

namespace {

/// Whether the library itself answers on this machine; says so aloud where it does not.
bool has_library(const char* what) {
  const std::string source = mnemo::Device::open("virtual:h200", {}).backend().decisions().source();
  if (source == "cuDNN 9.19.0") return true;
  MESSAGE("skipped: ", std::string(what), ", which needs cuDNN 9.19.0; decisions here are from: ", source);
  return false;
}

}  // namespace

TEST_CASE("every lab agrees with its arithmetic on every kind of device") {
  for (const char* name : {"batch-size", "resolution", "reported"}) check_agreement(name);
}

TEST_CASE("the batch-size lab's peak where convolutions have no workspace, on paper") {
  // SimpleConv with Adam, batch 8, in blocks of 512 bytes: most is held when pool1's gradient becomes relu1's. A
  // product's workspace, of some KiB, is no part of it.
  const std::int64_t parameters = 3584 + 512 + 73728 + 512 + 64000 + 512, images = 8 * 3 * 28 * 28 * 4 + 512;
  const std::int64_t plane = 8 * 32 * 26 * 26 * 4, kept = plane + blocks(8 * 32 * 13 * 13);  // conv1's; by relu1, pool1
  const std::int64_t gradients = 73728 + 512 + 64000 + 512 + 8 * 32 * 13 * 13 * 4 + plane;
  const std::int64_t peak = 3 * parameters + images + kept + 2 * 512 + gradients;
  for (const char* device : {"virtual:cpu", "virtual:v100-32gb"}) {
    const json object = lab("batch-size", device);
    CHECK(measured(row_of(object, "E2"), "peak in blocks of 512 bytes, batch 8 in a fresh process") == peak);
    CHECK(verdict(object, "E2") == "depends");
  }
}

TEST_CASE("the resolution lab: what needs no library") {
  for (const char* device : {"cpu", "virtual:cpu", "virtual:h200", "virtual:16GiB"}) {
    const json object = lab("resolution", device);
    const json alone = row_of(object, "A4a");
    CHECK(alone["verdict"] == "false");
    // Conv3d 16->32 k3 p1 at 8^3: weight, bias, input, output, its gradient and the loss, weight gradient, bias's.
    CHECK(measured(alone, "peak of a training step without workspace, 8^3") ==
          2 * (13824 * 4 + 512) + 16 * 512 * 4 + 2 * 32 * 512 * 4 + 512);
    const json padding = row_of(object, "A4b");
    CHECK(padding["verdict"] == "false");
    CHECK(measured(padding, "output voxels for 1000 input voxels, 16^3") == 18 * 18 * 18 * 1000 / (16 * 16 * 16));
    const json cached = row_of(object, "A4d");
    CHECK(cached["verdict"] == "depends");
    CHECK(measured(cached, "allocated, 32^3 after 64^3") == 13824 * 4 + 512 + (16 + 32) * 32 * 32 * 32 * 4);
    CHECK(measured(cached, "reserved, 32^3 after 64^3") == measured(cached, "reserved, 64^3"));
    CHECK(measured(cached, "reserved, 32^3 after 64^3") > measured(cached, "reserved, 32^3 in"));
    const json ledger = row_of(object, "A5");
    for (const char* size : {"16^3", "32^3"}) {
      CHECK(measured(ledger, std::string("weights at the peak, ") + size) == (13824 + 27648 + 2 * 128) * 4);
      CHECK(measured(ledger, std::string("the same without recording gradients, ") + size) == 0);
    }
    CHECK(measured(ledger, "activations kept by autograd after the forward pass, 32^3") == 4 * 32 * 32 * 32 * 32 * 4);
  }
  for (const char* device : {"cpu", "virtual:cpu"}) {
    const json object = lab("resolution", device);
    CHECK(verdict(object, "A4c") == "false");
    CHECK(verdict(object, "A4") == "false");
    CHECK(verdict(object, "A5") == "depends");
  }
}

TEST_CASE("the resolution lab claims nothing about workspaces that are unknown") {
  for (const char* device : {"virtual:16GiB", "virtual:v100-32gb"}) {
    const json object = lab("resolution", device);
    CHECK(verdict(object, "A4c") == "depends");
    CHECK(verdict(object, "A4") == "depends");
    CHECK(row_of(object, "A4")["because"].get<std::string>().find("left out") != std::string::npos);
  }
}

TEST_CASE("the resolution lab: workspaces that cuDNN 9.19 was seen to want") {
  if (!has_library("the lab's workspaces")) return;
  const char* square = "conv2d 256->256 k7 p3, batch 1, float32 contiguous, weight gradient, ";
  const char* wide = "conv2d 256->256 k7 p3, batch 1, float32 channels-last, weight gradient, ";
  const char* brief = "conv3d 16->32 k7 p3, batch 16, bfloat16 channels-last, weight gradient, ";
  const char* deep = "conv3d 128->128 k7 p3, batch 16, float32 channels-last, weight gradient, ";
  const char* medium = "conv3d 32->64 k7 p3, batch 4, bfloat16 channels-last, weight gradient, ";
  const char* entry = "conv3d 1->16 k7 p3, batch 16, float32 contiguous, forward, ";
  const char* early = "conv2d 32->64 k3 p1, batch 16, float32 channels-last, forward, ";
  const struct {
    const char* device;
    std::string layer;
    const char* low;
    double low_megabytes;
    const char* high;
    double high_megabytes;
  } seen[] = {
      {"virtual:h200", square, "48^2", 249, "64^2", 47},      {"virtual:h200", wide, "56^2", 263, "80^2", 26},
      {"virtual:h200", brief, "32^3", 41.6, "56^3", 0.7},     {"virtual:rtx4090", deep, "16^3", 607, "24^3", 249},
      {"virtual:a100-80gb", medium, "32^3", 209, "48^3", 82}, {"virtual:b200", entry, "48^3", 120, "56^3", 0},
      {"virtual:t4", early, "128^2", 101, "152^2", 0.14}};
  std::map<std::string, json> labs;
  for (const auto& pair : seen) {
    if (!labs.contains(pair.device)) labs[pair.device] = lab("resolution", pair.device);
    const json row = row_of(labs[pair.device], "A4c");
    CAPTURE(pair.device);
    CAPTURE(pair.layer);
    CHECK(measured(row, pair.layer + pair.low) / 1e6 == doctest::Approx(pair.low_megabytes).epsilon(0.01));
    CHECK(std::abs(measured(row, pair.layer + pair.high) / 1e6 - pair.high_megabytes) <
          0.01 * pair.high_megabytes + 0.01);
    CHECK(row["verdict"] == "true");
  }
}

TEST_CASE("the resolution lab: pairs where the whole step peaks higher at the lower resolution") {
  if (!has_library("the lab's search")) return;
  struct Found {
    const char* device;
    const char* layer;
    const char* pair;
  };
  const Found found[] = {{"virtual:h200", "conv2d 256->256 k7 p3, batch 1, float32 channels-last",
                          "287.88 MiB at 56^2 (eng46, eng34) against 60.75 MiB at 64^2"},
                         {"virtual:a100-80gb", "conv3d 16->32 k7 p3, batch 1, float16 channels-last",
                          "9.49 MiB at 16^3 (eng22, eng10) against 7.91 MiB at 24^3"},
                         {"virtual:rtx4090", "conv3d 128->128 k7 p3, batch 16, float32 channels-last",
                          "932.41 MiB at 20^3 (eng55, eng58) against 712.32 MiB at 24^3"},
                         {"virtual:t4", "conv3d 16->32 k7 p3, batch 1, float16 channels-last",
                          "15.54 MiB at 16^3 (eng50, eng54) against 6.64 MiB at 24^3"}};
  for (const Found& each : found) {
    const json object = lab("resolution", each.device);
    const json row = row_of(object, "A4");
    CAPTURE(each.device);
    CHECK(row["verdict"] == "true");
    const std::string because = row["because"];
    CHECK(because.find(each.layer) != std::string::npos);
    CHECK(because.find(each.pair) != std::string::npos);
    CHECK(row["measured"]["steps whose peak is that of the arithmetic (count)"] == 22);
    CHECK(verdict(object, "A5") == "true");
  }
}

TEST_CASE("the reported lab: what users measured on an A100 80GB, to the byte") {
  const json object = lab("reported", "cpu");
  CHECK(object["device"] == "virtual:a100-80gb");
  const json half = row_of(object, "R1"), frames = row_of(object, "R2");
  // These rest on arithmetic alone: the tensors, and what vol2col unfolds beyond 2^31 elements.
  CHECK(measured(half, "request that fails, 362 slices") == 116'187'056'640);
  CHECK(measured(frames, "allocated before") == 8'582'808'064);
  CHECK(measured(frames, "allocated after") == 9'652'355'584);
  CHECK(measured(frames, "request that fails, depth 5") == 173'266'698'240);
  if (half["verdict"] == "depends") {
    MESSAGE("skipped: the peaks, which need cuDNN 9.19.0 or its table; decisions here are from: ", object["decisions"]);
    return;
  }
  CHECK(half["verdict"] == "true");
  CHECK(measured(half, "peak allocated") == 12'874'233'344);
  CHECK(measured(half, "peak reserved") == 12'880'707'584);
  CHECK(frames["verdict"] == "true");
  CHECK(measured(frames, "peak allocated") == 18'235'163'648);
}

TEST_CASE("the reported lab knows its card with a version behind it") {
  if (!has_library("the card with a version")) return;
  CHECK(verdict(lab("reported", "virtual:a100-80gb,cudnn=9.19.0"), "R1") == "true");
}

TEST_CASE("the reported lab on another card makes no claim") {
  const json object = lab("reported", "virtual:rtx4090");
  CHECK(object["device"] == "virtual:rtx4090");
  for (const json& row : object["rows"]) {
    CHECK(row["verdict"] == "depends");
    CHECK(row["prediction"].empty());
    CHECK(row["because"].get<std::string>().find("an A100 80GB") != std::string::npos);
  }
}

TEST_CASE("a lab records each device that it opens") {
  const TemporaryFolder temporary;
  const std::filesystem::path folder = temporary / "recordings";
  const Answer plain = mnemo_command("lab reported --json --device virtual:a100-80gb");
  const Answer recorded = mnemo_command("lab reported --json --device virtual:a100-80gb --record " + folder.string());
  CHECK(recorded.out == plain.out);
  // Two reports, each of one run that fits and of one that does not.
  int files = 0, full = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto recording = mnemo::memory::Recording::read(entry.path().string());
    CHECK(recording.header().device == "virtual:a100-80gb");
    CHECK(!recording.truncated());
    ++files;
    for (const auto& event : recording.events()) full += event.kind == mnemo::memory::EventKind::oom ? 1 : 0;
  }
  CHECK(files == 4);
  CHECK(full == 2);
  CHECK(mnemo_command("lab reported --record /proc/none").code == 1);
}
