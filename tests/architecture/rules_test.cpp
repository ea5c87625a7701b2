// The tree keeps its rules, and the rules notice a tree that does not.
#include <cstdio>
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "rules.h"
#include "temporary_folder.h"

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = MNEMO_SOURCE_DIR;

std::string joined(const architecture::Violations& violations) {
  std::string text;
  for (const std::string& violation : violations) text += violation + "\n";
  return text;
}

// A small source tree of its own, gone at the end of the test.
class Tree {
 public:
  const fs::path& root() const { return folder_.path(); }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root() / file).parent_path());
    std::ofstream(root() / file) << text;
  }

 private:
  TemporaryFolder folder_;
};

// The first folders or files of what git has recorded here; empty outside of a git checkout.
std::vector<std::string> recorded_entries() {
  const std::string command = "cd '" + kRoot.string() + "' && git -c safe.directory='*' ls-files 2>/dev/null";
  std::set<std::string> entries;
  if (FILE* files = popen(command.c_str(), "r")) {
    char line[4096];
    while (std::fgets(line, sizeof line, files)) {
      const std::string name(line);
      entries.insert(name.substr(0, name.find_first_of("/\n")));
    }
    pclose(files);
  }
  return {entries.begin(), entries.end()};
}

}  // namespace

TEST_CASE("includes point down") { CHECK(joined(architecture::forbidden_includes(kRoot)) == ""); }

TEST_CASE("public headers need no other library") { CHECK(joined(architecture::leaking_headers(kRoot)) == ""); }

TEST_CASE("no file is longer than 400 lines") { CHECK(joined(architecture::long_files(kRoot)) == ""); }

TEST_CASE("the top level holds what the design names") {
  const std::vector<std::string> entries = recorded_entries();
  if (entries.empty()) MESSAGE("not a git checkout: the top level is not looked at");
  CHECK(joined(architecture::unexpected_entries(entries)) == "");
}

TEST_CASE("a forbidden include is found") {
  const Tree tree;
  const auto found = [&tree] { return joined(architecture::forbidden_includes(tree.root())); };

  SUBCASE("what is allowed is left alone") {
    tree.write("memory/a.h", "#include <memory>\n#include <mnemo/memory/b.h>\n#include \"b.h\"\n");
    tree.write("core/a.h", "#include <mnemo/memory/b.h>\n#include <mnemo/core/b.h>\n");
    tree.write("core/cpu/a.cpp", "#include \"../a.h\"\n#include <Eigen/Core>\n");
    tree.write("cuda/a.cu", "#include <mnemo/core/a.h>\n#include <cuda_runtime.h>\n");
    tree.write("autograd/a.cpp", "#include <mnemo/autograd/b.h>\n#include <mnemo/core/a.h>\n");
    tree.write("nn/a.cpp", "#include <mnemo/autograd/b.h>\n#include <mnemo/nn/b.h>\n");
    tree.write("optim/a.cpp", "#include <mnemo/autograd/b.h>\n#include <mnemo/optim/b.h>\n");
    tree.write("examples/a.cpp", "#include <memory>\n#include <mnemo/mnemo.h>\n#include \"models/b.h\"\n");
    CHECK(found() == "");
  }
  SUBCASE("memory includes core") {
    tree.write("memory/a.h", "#pragma once\n#include <mnemo/core/shape.h>\n");
    CHECK(found() == "memory/a.h:2: memory includes core (mnemo/core/shape.h)\n");
  }
  SUBCASE("optim includes nn") {
    tree.write("optim/adam.cpp", "#include <mnemo/nn/module.h>\n");
    CHECK(found() == "optim/adam.cpp:1: optim includes nn (mnemo/nn/module.h)\n");
  }
  SUBCASE("core includes cuda by a relative path") {
    tree.write("core/cpu/a.cpp", "  #  include \"../../cuda/backend.h\"  // why\n");
    CHECK(found() == "core/cpu/a.cpp:1: core includes cuda (../../cuda/backend.h)\n");
  }
  SUBCASE("autograd includes nn in quotes") {
    tree.write("autograd/a.cpp", "#include \"nn/module.h\"\n");
    CHECK(found() == "autograd/a.cpp:1: autograd includes nn (nn/module.h)\n");
  }
  SUBCASE("cuda includes autograd") {
    tree.write("cuda/a.cu", "#include <mnemo/autograd/tensor.h>\n");
    CHECK(found() == "cuda/a.cu:1: cuda includes autograd (mnemo/autograd/tensor.h)\n");
  }
  SUBCASE("a layer includes the umbrella") {
    tree.write("nn/a.cpp", "#include <mnemo/mnemo.h>\n");
    CHECK(found() == "nn/a.cpp:1: nn includes mnemo.h (mnemo/mnemo.h)\n");
  }
  SUBCASE("an example goes past the umbrella") {
    tree.write("examples/a.cpp", "#include <mnemo/core/array.h>\n");
    CHECK(found() == "examples/a.cpp:1: examples includes core (mnemo/core/array.h)\n");
  }
}

TEST_CASE("a header that leaks a library is found") {
  const Tree tree;
  tree.write("core/text.h", "#include <string>\n#include <fmt/core.h>\n");
  tree.write("core/cpu/matrix.h", "#include <Eigen/Core>\n");
  tree.write("memory/log.cpp", "#include <spdlog/spdlog.h>\n");
  CHECK(joined(architecture::leaking_headers(tree.root())) == "core/text.h:2: a public header includes fmt/core.h\n");
}

TEST_CASE("a long file is found") {
  const Tree tree;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "// a line\n";
  tree.write("nn/enough.cpp", text);
  tree.write("nn/too_long.cpp", text + "// one more\n");
  CHECK(joined(architecture::long_files(tree.root())) == "nn/too_long.cpp:401: more than 400 lines\n");
}

TEST_CASE("an entry without a place is found") {
  CHECK(joined(architecture::unexpected_entries({"core", "run", "utils"})) == "utils: has no place at the top level\n");
}
