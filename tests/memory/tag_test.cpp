#include <doctest/doctest.h>

#include <set>
#include <string>
#include <thread>

#include <mnemo/memory/event.h>
#include <mnemo/memory/tag.h>

namespace mnemo::memory {
namespace {

TEST_CASE("every category, phase and event has a name of its own") {
  std::set<std::string> names;
  for (int i = 0; i < kCategories; ++i) names.insert(name(static_cast<Category>(i)));
  CHECK(names.size() == kCategories);
  CHECK(names.count("saved_activation") == 1);
  names.clear();
  for (int i = 0; i < kPhases; ++i) names.insert(name(static_cast<Phase>(i)));
  CHECK(names.size() == kPhases);
  names.clear();
  for (int i = 0; i <= static_cast<int>(EventKind::marker); ++i) names.insert(name(static_cast<EventKind>(i)));
  CHECK(names.size() == 8);
}

TEST_CASE("equal texts are interned to the same pointer") {
  const std::string once = "encoder.0.conv";
  const char* first = intern(once);
  CHECK(first == intern(std::string("encoder.0.") + "conv"));
  CHECK(first != intern("encoder.1.conv"));
  CHECK(std::string(first) == once);
  CHECK(first != once.c_str());
}

TEST_CASE("scopes set a field of the current tag and restore it") {
  CHECK(current_tag().category == Category::other);
  {
    const CategoryScope category(Category::gradient);
    const OpScope op("conv");
    {
      const OpScope inner("relu");
      const PhaseScope phase(Phase::backward);
      const StepScope step(7);
      const ModuleScope module("encoder");
      CHECK(current_tag().category == Category::gradient);
      CHECK(std::string(current_tag().op) == "relu");
      CHECK(current_tag().phase == Phase::backward);
      CHECK(current_tag().step == 7);
      CHECK(std::string(current_tag().module) == "encoder");
    }
    CHECK(std::string(current_tag().op) == "conv");
    CHECK(std::string(current_tag().module).empty());
    CHECK(current_tag().step == 0);
  }
  CHECK(current_tag().category == Category::other);
  CHECK(std::string(current_tag().op).empty());
}

TEST_CASE("each thread has its own tag") {
  const CategoryScope category(Category::parameter);
  Category seen = Category::parameter;
  std::thread([&] { seen = current_tag().category; }).join();
  CHECK(seen == Category::other);
}

}  // namespace
}  // namespace mnemo::memory
