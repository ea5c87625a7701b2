// Wrong command lines: exit code 2, a hint on stderr, nothing on stdout.
#include <cstdio>
#include <string>

#include <doctest/doctest.h>

#include "program.h"

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// One wrong command line and what its error names.
struct Wrong {
  const char* arguments;
  const char* says;
};

}  // namespace

TEST_CASE("usage errors exit with 2, say what is wrong, and leave stdout empty") {
  const Wrong wrong[] = {
      {"", "subcommand is required"},
      {"stepp", "did you mean step?"},
      {"nonsense", "devices, models, step, plans, cliffs, "},
      {"--nonsense", "unknown option --nonsense"},
      {"lab", "subcommand is required"},
      {"lab batchsize", "did you mean batch-size?"},
      {"lab batch-size --device nonsense", "[device] \"nonsense\""},
      {"step", "MODEL is required"},
      {"step resnet", "did you mean resnet18?"},
      {"step xyz", "simple-conv"},
      {"step mlp --bach 3", "did you mean --batch?"},
      {"step mlp --batch", "--batch"},
      {"step mlp --batch 0", "--batch: \"0\""},
      {"step mlp --batch -1", "--batch"},
      {"step mlp --batch 4,,8", "--batch: \"\""},
      {"step mlp --batch 4,", "--batch: \"\""},
      {"step mlp --batch 4x", "--batch: \"4x\""},
      {"step mlp --batch 1.5", "--batch: \"1.5\""},
      {"step mlp --batch 99999999999999999999", "--batch"},
      {"step mlp --batch 9223372036854775807 --device virtual:cpu", "overflow"},
      {"step mlp --steps 0", "--steps: \"0\""},
      {"step mlp --size 0", "--size: \"0\""},
      {"step mlp --size 030", "mlp takes --size 28"},
      {"step mlp --seed -1", "--seed"},
      {"step mlp --lr -0.1", "--lr: \"-0.1\" is not a number from 0"},
      {"step mlp --lr nan", "--lr: \"nan\""},
      {"step mlp --lr 1e999", "--lr: \"1e999\""},
      {"step mlp --lr 0.1x", "--lr: \"0.1x\""},
      {"step mlp --no-grad --lr 0.1", "--no-grad updates nothing"},
      {"step mlp --version", "unknown option --version"},
      {"step mlp --optimizer sdg", "did you mean sgd?"},
      {"step mlp --conv-algorithm fft", "auto, direct, gemm"},
      {"step mlp --conv-algorithm gemm --policy pytorch", "give one of them"},
      {"step mlp --policy fast", "policy \"fast\" is not known"},
      {"step mlp --policy 'workspace<=many'", "many"},
      {"step mlp --layout nhwc", "contiguous, channels-last"},
      {"step mlp --dtype int32", "float32, float16, bfloat16, float64"},
      {"step mlp --dtype float", "did you mean float"},
      {"step conv2d:3", "the input's shape is missing"},
      {"step conv2d:3,8@1x3x8x8", "the kernel is missing"},
      {"step conv2d:3,8,k3@1x3x8", "the input has 3 sizes, not 4"},
      {"step conv2d:3,8,k3@1x4x8x8", "the input has 4 channels, the layer takes 3"},
      {"step conv2d:3,8,k3,k5@1x3x8x8", "k is given twice"},
      {"step conv2d:3,8,k3,x5@1x3x8x8", "\"x5\" is not one of kN"},
      {"step conv2d:3,8,k0@1x3x8x8", "\"0\" is not a whole number from 1"},
      {"step conv2d:3,8,k3x3x3@1x3x8x8", "has 3 numbers"},
      {"step conv2d:4,8,k3,g3@1x4x8x8", "3 groups do not divide 4"},
      {"step conv2d:3,8,k9@1x3x8x8", "does not fit into size 8"},
      {"plans", "MODEL is required"},
      {"plans nonsense", "simple-conv"},
      {"plans mlp --device virtual:h200,cudnn=1.2.3", "no table of cuDNN 1.2.3"},
      {"tabulate", "FILE is required"},
      {"sweep", "MODEL is required"},
      {"sweep mlp --batch 8:4", "has its larger end first"},
      {"sweep mlp --batch 1:100000", "the most is 1000"},
      {"sweep mlp --batch 1:2:3:4", "is not a range"},
      {"sweep mlp --device cpu", "is not a virtual device"},
      {"sweep mlp --device virtual:h200,virtual:t4", "a sweep is of one device"},
      {"sweep simple-conv --size 40:48", "simple-conv takes --size 26 to 29"},
      {"step mlp --device virtual:h2000", "CARD one of"},
      {"step mlp --device cpu:0", "[device]"},
      {"step mlp --device h200", "did you mean virtual:h200?"},
      {"step mlp --device virtual:H200,24GiB", "did you mean virtual:h200,24gib?"},
      {"step mlp --device cuda:x", "[device]"},
      {"step mlp --allocator max_split_mb:128", "max_split_mb"},
      {"step mlp --allocator max_split_size_mb:1", "max_split_size_mb"},
      {"step mlp extra", "extra"},
      {"step simple-conv --size 32 --batch 2", "simple-conv takes --size 26 to 29"},
      {"step unet3d --size 6 --device virtual:cpu", "multiples of 4"},
      {"step conv3d-k7 --size 5", "7 or more"},
      {"replay", "FILE is required"},
      {"replay /nonexistent/trace", "/nonexistent/trace"},
      {"replay /", "cannot be opened"},
      {"replay /dev/null --capacity 10parsecs", "10parsecs"},
  };
  for (const Wrong& line : wrong) {
    for (const char* json : {"", " --json"}) {
      if (*json != '\0' && std::string_view(line.arguments).starts_with("tabulate")) continue;  // which prints none
      const std::string arguments = std::string(line.arguments) + json;
      CAPTURE(arguments);
      const Answer answer = mnemo_command(arguments);
      CAPTURE(answer.err);
      CHECK(answer.code == 2);
      CHECK(answer.out == "");
      if (*json == '\0') CHECK(contains(answer.err, line.says));
      CHECK(contains(answer.err, "--help"));
    }
  }
}

TEST_CASE("a wrong allocator option in the environment is a usage error as well") {
  const Answer answer = mnemo_command("step mlp", "MNEMO_ALLOC_CONF=nonsense:1");
  CHECK(answer.code == 2);
  CHECK(contains(answer.err, "nonsense"));
}

TEST_CASE("an index below 0 is answered in a line: the largest double, written out, had 300 digits") {
  for (const std::string verb : {"replay", "tune-allocator", "import"}) {
    CAPTURE(verb);
    const Answer answer = mnemo_command(verb + " /dev/null --device-index -1");
    CHECK(answer.code == 2);
    CHECK(contains(answer.err, "2147483647"));
    CHECK(answer.err.size() < 200);
  }
}

TEST_CASE("sizes are only spoken of where the size is wrong") {
  for (const char* arguments :
       {"step resnet18 --batch 1 --size 32 --device virtual:cpu", "explain resnet18 --batch 1 --size 32",
        "plans conv2d:3,8,k3@4x3x2x2", "step conv2d:3,8,k3@4x3x2x2",
        "step mlp --batch 9223372036854775807 --device virtual:cpu"}) {
    CAPTURE(arguments);
    const Answer answer = mnemo_command(arguments);
    CAPTURE(answer.err);
    CHECK(answer.code == 2);
    CHECK_FALSE(contains(answer.err, "takes --size"));
  }
  CHECK(contains(mnemo_command("explain unet3d --size 6").err, "unet3d takes --size multiples of 4, here it was 6"));
}

TEST_CASE("the version is on stdout, and that of the project") {
  const Answer answer = mnemo_command("--version");
  CHECK(answer.code == 0);
  CHECK(answer.err == "");
  CHECK(answer.out.starts_with("mnemo "));
  int major = -1, minor = -1, patch = -1;
  CHECK(std::sscanf(answer.out.c_str(), "mnemo %d.%d.%d\n", &major, &minor, &patch) == 3);
  CHECK(major >= 0);
}

TEST_CASE("help is on stdout and exits with 0") {
  for (const char* arguments : {"--help", "step --help", "lab --help", "lab batch-size --help", "replay --help",
                                "devices --help", "models --help"}) {
    CAPTURE(arguments);
    const Answer answer = mnemo_command(arguments);
    CHECK(answer.code == 0);
    CHECK(contains(answer.out, "--help"));
    CHECK(answer.err == "");
  }
}
