#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <mnemo/core/planning/plan_file.h>
#include <mnemo/core/planning/plan_store.h>
#include <mnemo/core/planning/shipped_tables.h>

#include "core/random_plans.h"
#include "logged.h"

using namespace mnemo;
using random_plans::Random;
using random_plans::same;
namespace fs = std::filesystem;

namespace {

/// A variable of the environment, until the end of the scope; nothing: not set.
class Variable {
 public:
  Variable(const char* name, std::optional<std::string> value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~Variable() { set(before_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

  void set(const std::optional<std::string>& value) const {
    value ? setenv(name_, value->c_str(), 1) : unsetenv(name_);
  }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// A cache folder of its own.
class Cache {
 public:
  Cache() { fs::create_directory(folder); }
  ~Cache() {
    fs::permissions(plans(), fs::perms::owner_all, ignored_);
    fs::remove_all(folder, ignored_);
  }

  fs::path plans() const { return folder / "plans" / "cudnn-9.19.0"; }
  fs::path file() const { return plans() / "card0.plans"; }
  int files() const { return static_cast<int>(std::distance(fs::directory_iterator(plans()), {})); }

  const fs::path folder = fs::temp_directory_path() / ("mnemo-plans-" + std::to_string(getpid()));

 private:
  std::error_code ignored_;
  Variable variable_{"MNEMO_CACHE_DIR", folder.string()};
};

int count(const std::string& text, const std::string& words) {
  int found = 0;
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++found;
  return found;
}

void write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

PlanTable random_table(unsigned seed, int queries) {
  Random random(seed);
  return random_plans::tables(random, 1, queries)[0];
}

}  // namespace

TEST_CASE("plan store: the folder that the environment names") {
  const Variable home("HOME", "/home/anna"), cache("XDG_CACHE_HOME", std::nullopt),
      own("MNEMO_CACHE_DIR", std::nullopt);
  CHECK(plan_store_folder() == "/home/anna/.cache/mnemo/plans");
  cache.set("/var/cache/anna");
  CHECK(plan_store_folder() == "/var/cache/anna/mnemo/plans");
  cache.set("relative");
  CHECK(plan_store_folder() == "/home/anna/.cache/mnemo/plans");
  own.set("/data/mnemo");
  CHECK(plan_store_folder() == "/data/mnemo/plans");
  own.set("");
  CHECK(plan_store_folder().empty());
  own.set(std::nullopt);
  cache.set("");
  home.set(std::nullopt);
  CHECK(plan_store_folder().empty());
}

TEST_CASE("plan store: what one saves another loads") {
  const Cache cache;
  CHECK(load_plans("9.19.0", "card0").size() == 0);
  CHECK(stored_versions("card0").empty());
  const PlanTable table = random_table(1, 50);
  save_plans(table);
  CHECK(same(load_plans("9.19.0", "card0"), table));
  CHECK(cache.files() == 1);
  CHECK(stored_versions("card0") == std::vector<std::string>{"9.19.0"});
  CHECK(stored_versions("card1").empty());
  CHECK(load_plans("9.15.1", "card0").size() == 0);
  PlanTable older("9.15.1", "card0");
  save_plans(older);
  auto versions = stored_versions("card0");
  std::ranges::sort(versions);
  CHECK(versions == std::vector<std::string>{"9.15.1", "9.19.0"});
}

TEST_CASE("plan store: saving adds to what is there by now") {
  const Cache cache;
  const PlanTable first = random_table(1, 30), second = random_table(2, 30);
  save_plans(first);
  save_plans(second);
  PlanTable both = first;
  both.merge(second);
  CHECK(same(load_plans("9.19.0", "card0"), both));
}

TEST_CASE("plan store: nothing is kept without a folder, nor under a name that leads elsewhere") {
  const Cache cache;
  PlanTable table("9.19.0", "../../../card0");
  table.insert({}, {{}, "nothing"});
  save_plans(table);
  CHECK(load_plans(table.version(), table.card()).size() == 0);
  for (const char* name : {"", ".", "..", "a/b", "a b", "/etc/passwd"}) {
    save_plans(PlanTable(name, "card0"));
    save_plans(PlanTable("9.19.0", name));
    CHECK(stored_versions(name).empty());
  }
  CHECK(fs::is_empty(cache.folder));
  const Variable none("MNEMO_CACHE_DIR", "");
  CHECK(logged([] { save_plans(random_table(1, 3)); }).empty());
  CHECK(load_plans("9.19.0", "card0").size() == 0);
  CHECK(fs::is_empty(cache.folder));
}

TEST_CASE("plan store: a broken file is told of once, then replaced") {
  const Cache cache;
  const PlanTable table = random_table(1, 20), others[] = {PlanTable("9.19.0", "card1"), PlanTable("9.15.1", "card0")};
  const std::string sound = encode({&table, 1});
  const std::string broken[] = {"", "not plans", sound.substr(0, sound.size() / 2), encode({&others[0], 1}),
                                encode({&others[1], 1})};
  const std::string first = logged([&] {
    for (const std::string& bytes : broken) {
      write(cache.file(), bytes);
      CHECK(load_plans("9.19.0", "card0").size() == 0);
    }
  });
  CHECK(count(first, "card0.plans") == 1);
  const std::string second = logged([&] {
    write(cache.plans() / "card2.plans", "not plans");
    load_plans("9.19.0", "card2");
    load_plans("9.19.0", "card2");
    save_plans(PlanTable("9.19.0", "card2"));
  });
  CHECK(count(second, "card2.plans: not a sound plan file: it does not begin as one") == 1);
  save_plans(table);
  CHECK(same(load_plans("9.19.0", "card0"), table));
}

TEST_CASE("plan store: where nothing can be written there is one warning, and no error") {
  const Cache cache;
  const PlanTable table = random_table(1, 5);
  // A file where a folder should be: not even root can write there.
  write(cache.folder / "plans", "in the way");
  const std::string text = logged([&] {
    save_plans(table);
    save_plans(table);
  });
  CHECK(count(text, "what cuDNN answered is not kept for the next time") == 1);
  CHECK(load_plans("9.19.0", "card0").size() == 0);
  CHECK(stored_versions("card0").empty());
  fs::remove(cache.folder / "plans");
  fs::create_directories(cache.plans());
  fs::permissions(cache.plans(), fs::perms::owner_read | fs::perms::owner_exec);
  save_plans(table);
  if (geteuid() != 0) CHECK(load_plans("9.19.0", "card0").size() == 0);
  // A folder in the place of the file cannot be replaced; no temporary file is left behind.
  fs::permissions(cache.plans(), fs::perms::owner_all);
  fs::remove(cache.file());
  fs::create_directories(cache.file() / "below");
  save_plans(table);
  CHECK(load_plans("9.19.0", "card0").size() == 0);
  CHECK(cache.files() == 1);
}

TEST_CASE("plan store: processes that save at once never leave half a file") {
  const Cache cache;
  constexpr int kProcesses = 3, kRounds = 40;
  std::vector<PlanTable> tables;
  for (unsigned i = 0; i < kProcesses; ++i) tables.push_back(random_table(i, 40));
  PlanTable all("9.19.0", "card0");
  for (const PlanTable& table : tables) all.merge(table);
  save_plans(all);
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      bool sound = true;
      for (int round = 0; round < kRounds; ++round) {
        save_plans(tables[static_cast<std::size_t>(i)]);
        // Whoever wrote last, all are in it: each adds to a whole file.
        sound = sound && same(load_plans("9.19.0", "card0"), all);
      }
      _exit(sound ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  CHECK(same(load_plans("9.19.0", "card0"), all));
  CHECK(cache.files() == 1);
}

TEST_CASE("shipped tables: each can be read, and is about cards of one version") {
  for (const ShippedTable& shipped : shipped_tables()) {
    const PlanFileHeader header = read_plan_header(shipped.bytes, shipped.name);
    CHECK(decode(shipped.bytes, shipped.name).size() == header.cards.size());
    for (const std::string& card : header.cards) {
      const auto versions = shipped_versions(card);
      CHECK(std::ranges::find(versions, header.version) != versions.end());
      REQUIRE(shipped_table(header.version, card));
      CHECK(shipped_table(header.version, card)->size() > 0);
    }
  }
  CHECK(shipped_versions("no such card").empty());
  CHECK_FALSE(shipped_table("9.19.0", "no such card"));
}
