#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include <mnemo/core/planning/packed_bytes.h>
#include <mnemo/core/planning/plan_file.h>
#include <mnemo/memory/error.h>

#include "core/random_plans.h"

using namespace mnemo;
using random_plans::below;
using random_plans::Random;
using random_plans::same;

namespace {

std::string little_endian(std::uint64_t word) {
  PackedWriter writer;
  writer.word(word);
  return writer.bytes();
}

/// With the length and the checksum that the bytes should have, so that only what stands between can be wrong.
std::string sealed(std::string bytes) {
  constexpr std::size_t kLength = 13;  // behind the magic and the format
  if (bytes.size() < kLength + 16) return bytes;
  bytes.replace(kLength, 8, little_endian(bytes.size()));
  const std::size_t end = bytes.size() - 8;
  return bytes.replace(end, 8, little_endian(checksum(std::string_view(bytes).substr(0, end))));
}

/// What reading it says: nothing if it is read, else the error.
std::string complaint(const std::string& bytes) {
  try {
    read_plan_header(bytes, "a.plans");
    decode(bytes, "a.plans");
  } catch (const FileError& error) {
    const std::string text = error.what();
    CHECK(text.starts_with("a.plans: not a sound plan file: "));
    return text;
  }
  return "";
}

bool says(const std::string& bytes, const char* words) {
  const std::string text = complaint(bytes);
  CAPTURE(text);
  return text.find(words) != std::string::npos;
}

std::string small_file() {
  Random random(7);
  return encode(random_plans::tables(random, 3, 6));
}

/// The layers of some networks over batches and sizes: 5,040 queries.
std::vector<ConvQuery> zoo() {
  std::vector<ConvQuery> queries;
  const std::int64_t channels[][2] = {{3, 64}, {64, 64}, {64, 128}, {128, 128}, {128, 256}, {256, 256}, {256, 512}};
  for (const auto& [in, out] : channels) {
    for (const std::int64_t kernel : {1, 3, 7}) {
      for (const std::int64_t size : {14, 28, 56, 112, 224}) {
        for (const std::int64_t batch : {1, 4, 16, 64}) {
          for (const DType dtype : {DType::float32, DType::bfloat16}) {
            for (const ConvLayout layout : {ConvLayout::contiguous, ConvLayout::channels_last}) {
              for (const ConvPass pass : {ConvPass::forward, ConvPass::data_gradient, ConvPass::weight_gradient}) {
                ConvProblem problem{.batch = batch, .in_channels = in, .out_channels = out};
                problem.in = problem.out = {1, size, size};
                problem.kernel = {1, kernel, kernel};
                problem.padding = {0, kernel / 2, kernel / 2};
                problem.dtype = dtype;
                queries.push_back({problem, pass, layout});
              }
            }
          }
        }
      }
    }
  }
  return queries;
}

/// Eleven cards of seven kinds; lists of up to six plans out of 400 engines, workspaces up to a gigabyte: as large as
/// real ones get.
std::vector<PlanTable> zoo_tables() {
  Random random(11);
  const std::vector<ConvQuery> queries = zoo();
  std::vector<std::string> engines;
  for (int i = 0; i < 400; ++i)
    engines.push_back("eng" + std::to_string(i % 60) + "_k2=" + std::to_string(i) + "_k24=4");
  std::vector<PlanTable> tables;
  for (int card = 0; card < 11; ++card) {
    tables.emplace_back("9.19.0", "card" + std::to_string(card));
    tables.back().reserve(queries.size());
    if (card >= 7) tables.back().merge(tables[static_cast<std::size_t>(card - 7)]);
  }
  for (const ConvQuery& query : queries) {
    for (int card = 0; card < 7; ++card) {
      PlanAnswer answer;
      answer.plans.resize(static_cast<std::size_t>(1 + below(random, 5)));
      int rank = -1;
      for (EnginePlan& plan : answer.plans) {
        plan.rank = rank += static_cast<int>(1 + below(random, 3));
        plan.engine = engines[static_cast<std::size_t>(below(random, 399))];
        plan.notes.numerical = static_cast<std::uint32_t>(plan.engine.size());
        plan.workspace = below(random, 1) == 0 ? 0 : below(random, std::int64_t{1} << below(random, 30));
      }
      tables[static_cast<std::size_t>(card)].insert(query, answer);
      if (card < 4) tables[static_cast<std::size_t>(card + 7)].insert(query, answer);
    }
  }
  return tables;
}

}  // namespace

TEST_CASE("plan file: tables come back entry for entry, all or one by one") {
  Random random(4);
  for (int i = 0; i < 60; ++i) {
    const auto tables = random_plans::tables(random, static_cast<int>(below(random, 4)), i);
    const std::string bytes = encode(tables);
    const std::vector<PlanTable> read = decode(bytes, "a.plans");
    const PlanFileHeader header = read_plan_header(bytes, "a.plans");
    REQUIRE(read.size() == tables.size());
    REQUIRE(header.cards.size() == tables.size());
    for (std::size_t card = 0; card < tables.size(); ++card) {
      CHECK(same(tables[card], read[card]));
      CHECK(header.version == tables[card].version());
      CHECK(header.cards[card] == tables[card].card());
      const auto one = decode_card(bytes, "a.plans", tables[card].card());
      REQUIRE(one);
      CHECK(same(tables[card], *one));
    }
    CHECK_FALSE(decode_card(bytes, "a.plans", "another"));
    CHECK(encode(read) == bytes);
  }
}

TEST_CASE("plan file: extreme numbers survive") {
  PlanTable table("9.19.0", "h200");
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  ConvQuery query;
  for (Size3* sizes : {&query.problem.in, &query.problem.kernel, &query.problem.out, &query.problem.stride})
    *sizes = {kMost, kMost, kMost};
  query.problem.padding = {kMost, 0, -kMost - 1};
  query.problem.batch = query.problem.groups = kMost;
  EnginePlan first, second;
  first.rank = std::numeric_limits<int>::max();
  first.engine = std::string(255, 'e');
  first.workspace = kMost;
  second.notes = {~0u, ~0u};
  second.state = EnginePlan::State::refused;
  table.insert(query, {{first, second}, ""});
  query.problem.out = {0, 0, 0};
  table.insert(query, {{}, std::string(100000, 'x')});
  const auto read = decode(encode({&table, 1}), "a.plans");
  REQUIRE(read.size() == 1);
  CHECK(same(table, read[0]));
}

TEST_CASE("plan file: only tables of one version, and of different cards, go into one") {
  const std::vector<PlanTable> versions = {{"9.19.0", "h200"}, {"9.15.1", "h100"}};
  CHECK_THROWS_WITH_AS(encode(versions), "a plan file holds one version of cuDNN, not both 9.19.0 and 9.15.1", Error);
  const std::vector<PlanTable> twice = {{"9.19.0", "h200"}, {"9.19.0", "h200"}};
  CHECK_THROWS_WITH_AS(encode(twice), "a plan file holds one table of h200, not two", Error);
  const PlanTable endless("9.19.0", std::string(256, 'h'));
  CHECK_THROWS_AS(encode({&endless, 1}), Error);
}

TEST_CASE("plan file: what it is not, and what is missing, is said") {
  const std::string bytes = small_file();
  CHECK(complaint(bytes).empty());
  CHECK(complaint(sealed(bytes)).empty());
  CHECK(says("", "it does not begin as one"));
  CHECK(says("{\"plans\": []} and so on", "it does not begin as one"));
  std::string later = bytes;
  later[12] = 2;
  CHECK(says(later, "format 2, but only format 1 is known"));
  CHECK(says(bytes.substr(0, 100), "100 bytes, but it should have"));
  CHECK(says(bytes + "x", "bytes, but it should have"));
  std::string damaged = bytes;
  damaged[bytes.size() / 2] ^= 1;
  CHECK(says(damaged, "the checksum does not fit"));
}

TEST_CASE("plan file: cut at any byte it is refused") {
  const std::string bytes = small_file();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(complaint(bytes.substr(0, length)).empty());
    CHECK_FALSE(complaint(sealed(bytes.substr(0, length))).empty());
  }
}

TEST_CASE("plan file: no flipped bit goes unseen") {
  const std::string bytes = small_file();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
      REQUIRE_FALSE(complaint(flipped).empty());
    }
  }
}

TEST_CASE("plan file: bytes that somebody sealed with a right checksum are read, or refused in words") {
  const std::string bytes = small_file();
  Random random(5);
  int read = 0, refused = 0;
  for (int i = 0; i < 30000; ++i) {
    std::string hostile = bytes;
    for (std::int64_t changes = below(random, 3); changes >= 0; --changes) {
      const auto at = static_cast<std::size_t>(21 + below(random, static_cast<std::int64_t>(hostile.size()) - 30));
      switch (below(random, 3)) {
        case 0:
          hostile[at] = static_cast<char>(random());
          break;
        case 1:
          hostile[at] = static_cast<char>(hostile[at] ^ 1 << below(random, 7));
          break;
        case 2:
          hostile.erase(at, static_cast<std::size_t>(below(random, 9)));
          break;
        default:
          hostile.insert(at, static_cast<std::size_t>(below(random, 9)), static_cast<char>(0xFF));
      }
      if (hostile.size() < bytes.size() / 2) hostile = bytes;
    }
    (complaint(sealed(hostile)).empty() ? read : refused)++;
  }
  CHECK(read > 100);
  CHECK(refused > 10000);
}

TEST_CASE("plan file: a count beyond what the bytes can hold asks for no memory") {
  PackedWriter header;
  header.raw("mnemo plans\n");
  header.number(1);
  header.word(0);
  header.text("9.19.0");
  PackedWriter cards = header, engines = header, answers = header, queries = header;
  cards.number(std::uint64_t{1} << 62);
  engines.number(0);
  engines.number(std::uint64_t{1} << 62);
  answers.number(0);
  answers.number(0);
  answers.number(~std::uint64_t{0});
  queries.number(0);
  queries.number(0);
  queries.number(0);
  queries.number(std::uint64_t{1} << 40);
  for (PackedWriter* writer : {&cards, &engines, &answers, &queries}) writer->word(0);
  CHECK(says(sealed(cards.bytes()), "the number of cards is 4611686018427387904, but at most 1000 can be"));
  CHECK(says(sealed(engines.bytes()), "4611686018427387904 entries of at least 3 bytes should follow, but"));
  CHECK(says(sealed(answers.bytes()), "18446744073709551615 entries of at least 1 bytes should follow, but"));
  CHECK(says(sealed(queries.bytes()), "1099511627776 entries of at least 2 bytes should follow, but"));
}

TEST_CASE("plan file: five thousand queries on eleven cards take less than two mebibytes") {
  const std::vector<PlanTable> tables = zoo_tables();
  REQUIRE(tables[0].size() == 5040);
  const std::string bytes = encode(tables);
  MESSAGE(bytes.size(), " bytes");
  CHECK(bytes.size() < (2u << 20));
  for (const PlanTable& table : tables) CHECK(same(table, decode_card(bytes, "a.plans", table.card()).value()));
}
