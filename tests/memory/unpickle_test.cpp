// Pickles and JSON as plain data: what Python writes is read, what could do harm is refused by name.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/pickle.h>
#include <mnemo/memory/unpickle.h>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"

namespace mnemo::memory {
namespace {

using Json = nlohmann::json;
using Kind = PlainData::Kind;

Json json_of(const PlainData& data, PlainId id) {
  const std::span<const PlainId> items =
      data.kind(id) == Kind::list || data.kind(id) == Kind::dictionary ? data.items(id) : std::span<const PlainId>();
  switch (data.kind(id)) {
    case Kind::none:
      return nullptr;
    case Kind::boolean:
      return data.number(id) != 0;
    case Kind::number:
      return data.number(id);
    case Kind::real:
      return data.real(id);
    case Kind::text:
      return std::string(data.text(id));
    case Kind::list: {
      Json list = Json::array();
      for (const PlainId item : items) list.push_back(json_of(data, item));
      return list;
    }
    case Kind::dictionary: {
      Json dictionary = Json::object();
      for (std::size_t i = 0; i < items.size(); i += 2) {
        dictionary[std::string(data.text(items[i]))] = json_of(data, items[i + 1]);
      }
      return dictionary;
    }
  }
  return nullptr;
}

Json json_of(const PlainData& data) { return json_of(data, data.root()); }

std::string refusal(const std::string& bytes) {
  try {
    unpickle(bytes, "file");
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

constexpr const char* kValues = R"python({'numbers': [0, 1, 255, 256, 65535, 65536, -1, 2**31 - 1, 2**31, -2**31,
  2**40, -2**40, 2**63 - 1, -2**63], 'large': 2.0**70, 'real': [0.5, -1e300], 'truth': [True, False, None],
  'texts': ['', 'n\xe4me', 'x' * 300], 'empty': [{}, [], ()], 'tuples': [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
  'same': [shared, shared, shared], 'many': list(range(2500)),
  'deep': {'a': {'b': [{'c': [[1]]}]}}})python";

TEST_CASE("plain data of every protocol is what Python means by it") {
  if (std::system("python3 -c pass >/dev/null 2>&1") != 0) {
    MESSAGE("SKIPPED: no python3 to pickle with");
    return;
  }
  const TemporaryFolder folder;
  std::ofstream(folder / "write.py") << fmt::format(
      "import json, pickle\nshared = {{'k': [1, 'v']}}\nvalue = {}\n"
      "for protocol in (2, 3, 4, 5): pickle.dump(value, open('p%d' % protocol, 'wb'), protocol=protocol)\n"
      "json.dump(value, open('json', 'w'))\n",
      kValues);
  CHECK(std::system(fmt::format("cd '{}' && python3 write.py", folder.path().string()).c_str()) == 0);
  const auto content = [&](const char* name) {
    std::ostringstream bytes;
    bytes << std::ifstream(folder / name, std::ios::binary).rdbuf();
    return std::move(bytes).str();
  };
  const std::string text = content("json");
  const Json expected = Json::parse(text);
  for (const char* protocol : {"p2", "p3", "p4"}) {
    CAPTURE(protocol);
    CHECK(json_of(unpickle(content(protocol), protocol)) == expected);
  }
  CHECK(json_of(read_json(text, "json")) == expected);
  CHECK(refusal(content("p5")).find("protocol 5; protocols 2 to 4 are read") != std::string::npos);
}

TEST_CASE("what mnemo pickles, it reads") {
  std::ostringstream out;
  PickleWriter pickle(out);
  pickle.begin_dictionary();
  pickle.text("key");
  pickle.begin_list();
  for (const std::int64_t number : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40, INT64_MIN}) {
    pickle.number(number);
  }
  pickle.next_batch();
  pickle.boolean(true);
  pickle.pair(-7, 8);
  pickle.end_list();
  pickle.end_dictionary();
  pickle.finish();
  CHECK(json_of(unpickle(out.str(), "own")) ==
        Json{{"key", {0, -1, std::int64_t{1} << 40, INT64_MIN, true, Json{-7, 8}}}});
}

TEST_CASE("what could do harm is refused, with its opcode and its place") {
  // os.system('...') as a pickle would call it.
  CHECK(refusal("\x80\x02"
                "cos\nsystem\nX\x02\0\0\0id\x85R.")
            .find("file: has the opcode GLOBAL: only plain data is read") == 0);
  CHECK(refusal(std::string("\x80\x04\x8c\x02os\x8c\x06system\x93.")).find("STACK_GLOBAL") != std::string::npos);
  CHECK(refusal("\x80\x02)R.").find("REDUCE") != std::string::npos);
  CHECK(refusal("\x80\x02)R.").find("(at byte 3)") != std::string::npos);
  CHECK(refusal("\x80\x02}b.").find("BUILD") != std::string::npos);
  CHECK(refusal("\x80\x02))\x81.").find("NEWOBJ") != std::string::npos);
  CHECK(refusal("\x80\x02(i").find("INST") != std::string::npos);
  CHECK(refusal("\x80\x02(o").find("OBJ") != std::string::npos);
  CHECK(refusal("\x80\x02NQ.").find("BINPERSID") != std::string::npos);
  CHECK(refusal("\x80\x02\x82\x01.").find("EXT1") != std::string::npos);
  CHECK(refusal("\x80\x02\xee").find("unknown opcode 0xee") != std::string::npos);
}

TEST_CASE("pickles that contradict themselves are refused") {
  const auto check = [](std::string_view bytes, const char* reason) {
    CAPTURE(reason);
    CHECK(refusal("\x80\x02" + std::string(bytes)).find(reason) != std::string::npos);
  };
  check("", "ends in the middle of a value");
  check(".", "ends with 0 values");
  check("NN.", "ends with 2 values");
  check("(N.", "ends with 1 values");
  check("a", "takes a value where there is none");
  check("Na", "adds to a collection where there is none");
  check("NNa", "adds to what is no list");
  check("]NNs", "adds to what is no dict");
  check("(e", "adds to a collection where there is none");
  check("e", "ends a collection that did not begin");
  check("}(Nu", "a key without a value");
  check("(Nd", "a key without a value");
  check("N\x86", "takes a value where there is none");
  check("](a", "takes a value where there is none");
  check("h\x07", "takes value number 7, which was not remembered");
  check("Nr\xff\xff\xff\xff", "remembers a value as number 4294967295");
  check(std::string_view("X\xff\xff\xff\xffx", 6), "ends in the middle of a value");
  check("\x95\xff\xff\xff\xff\xff\xff\xff\xff", "ends in the middle of a frame");
  check(std::string(300, '('), "nested more than 200 deep");
  CHECK(refusal("(dp0\n.") == "file: is no pickle of protocol 2 to 4 (at byte 0)");
}

TEST_CASE("a list that holds itself does no harm") {
  const PlainData data = unpickle("\x80\x02]q\x01h\x01\x61.", "file");
  REQUIRE(data.items(data.root()).size() == 1);
  CHECK(data.items(data.root())[0] == data.root());
}

TEST_CASE("JSON is refused where it is wrong or nested too deep") {
  CHECK_THROWS_WITH_AS(read_json("{\"a\": [1, }", "file"), "file: is no valid JSON at byte 11", FileError);
  CHECK_THROWS_WITH_AS(read_json(std::string(1'000'000, '['), "file"), "file: is nested more than 100 deep", FileError);
  CHECK_THROWS_AS(read_json("", "file"), FileError);
  CHECK_THROWS_AS(read_json("{} {}", "file"), FileError);
  CHECK_THROWS_AS(read_json("\"\xff\"", "file"), FileError);
  CHECK(json_of(read_json("[18446744073709551615, 1e3, -1]", "file")) == Json{18446744073709551615.0, 1e3, -1});
}

TEST_CASE("bytes at random are refused or read, and never more") {
  constexpr std::string_view kOpcodes = "(.]})0NKMJXGhqaseutdlrj\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x94\x95";
  std::mt19937_64 random(1);
  int read = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string bytes = "\x80\x04";
    for (std::size_t left = random() % 40; left > 0; --left) {
      bytes += random() % 8 == 0 ? static_cast<char>(random()) : kOpcodes[random() % kOpcodes.size()];
    }
    read += refusal(bytes + '.').empty() ? 1 : 0;
  }
  CHECK(read > 10);
}

}  // namespace
}  // namespace mnemo::memory
