#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/planning/packed_bytes.h>
#include <mnemo/core/planning/plan_file.h>
#include <mnemo/core/planning/plan_file_format.h>
#include <mnemo/core/planning/query_list.h>

namespace mnemo {

namespace {

using Answer = std::shared_ptr<const PlanAnswer>;

/// What stands before the header; says how long the file should be.
void read_magic(PackedReader& reader, std::size_t size) {
  if (size < kPlanFileMagic.size() || reader.raw(kPlanFileMagic.size()) != kPlanFileMagic)
    reader.refuse("it does not begin as one");
  const std::uint64_t format = reader.number();
  if (format != kPlanFileFormat)
    reader.refuse(fmt::format("format {}, but only format {} is known", format, kPlanFileFormat));
  const std::uint64_t expected = reader.word();
  if (expected != size) reader.refuse(fmt::format("{} bytes, but it should have {}", size, expected));
}

PlanFileHeader read_header(PackedReader& reader) {
  PlanFileHeader header;
  header.version = reader.text(kPlanFileLongestName);
  for (std::uint64_t left = reader.number(kPlanFileMostCards, "the number of cards"); left > 0; --left) {
    const std::string_view card = reader.text(kPlanFileLongestName);
    if (std::ranges::find(header.cards, card) != header.cards.end())
      reader.refuse(fmt::format("the card \"{}\" is there twice", card));
    header.cards.emplace_back(card);
  }
  return header;
}

class Decoder {
 public:
  Decoder(std::string_view bytes, const std::string& origin) : reader_(bytes, origin) {
    read_magic(reader_, bytes.size());
    const std::string_view body = bytes.substr(0, bytes.size() < kPlanFileWord ? 0 : bytes.size() - kPlanFileWord);
    PackedReader end(bytes.substr(body.size()), origin);
    if (end.word() != checksum(body)) reader_.refuse("the checksum does not fit the contents");
    header_ = read_header(reader_);
    read_engines();
    const std::size_t count = reader_.count(1);
    answers_.reserve(count);
    while (answers_.size() < count) answers_.push_back({reader_.part(), nullptr});
    queries_ = read_queries(reader_);
    columns_.reserve(header_.cards.size());
    for (std::size_t i = 0; i < header_.cards.size(); ++i) columns_.push_back(reader_.part());
    reader_.raw(kPlanFileWord);
    reader_.finish();
  }

  const PlanFileHeader& header() const { return header_; }

  PlanTable table(std::size_t card) {
    PlanTable table(header_.version, header_.cards[card]);
    PackedReader column = columns_[card];
    if (column.left() < queries_.size()) column.refuse(fmt::format("{} answers are too few", column.left()));
    table.reserve(queries_.size());
    std::uint64_t expected = 0;
    for (const ConvQuery& query : queries_) {
      const std::uint64_t code = column.number();
      if (code == 0) continue;
      const std::uint64_t place = expected + static_cast<std::uint64_t>(unzigzag(code - 1));
      if (place >= answers_.size()) column.refuse(fmt::format("there is no answer {}", place));
      table.share(query, answer(place));
      expected = place + 1;
    }
    column.finish();
    return table;
  }

 private:
  /// The bytes of an answer, and what they say once somebody asked.
  struct Slot {
    PackedReader bytes;
    Answer answer;
  };

  void read_engines() {
    const std::size_t count = reader_.count(3);
    engines_.reserve(count);
    while (engines_.size() < count) {
      PlanFileEngine& engine = engines_.emplace_back();
      engine.name = reader_.text(kPlanFileLongestName);
      constexpr std::uint64_t kNotes = std::numeric_limits<std::uint32_t>::max();
      engine.notes.numerical = static_cast<std::uint32_t>(reader_.number(kNotes, "the numerical notes"));
      engine.notes.behavior = static_cast<std::uint32_t>(reader_.number(kNotes, "the behavior notes"));
    }
  }

  const Answer& answer(std::uint64_t place) {
    Slot& slot = answers_[place];
    if (!slot.answer) slot.answer = read_answer(slot.bytes);
    return slot.answer;
  }

  Answer read_answer(PackedReader reader) const {
    PlanAnswer answer;
    const std::size_t count = reader.count(3);
    if (count == 0) answer.obstacle = reader.raw(reader.left());
    answer.plans.reserve(count);
    std::int64_t rank = 0;
    while (answer.plans.size() < count) {
      EnginePlan& plan = answer.plans.emplace_back();
      const std::uint64_t number = reader.number();
      if (number >= engines_.size()) reader.refuse(fmt::format("there is no engine {}", number));
      const PlanFileEngine& engine = engines_[number];
      plan.engine = engine.name;
      plan.notes = engine.notes;
      constexpr std::uint64_t kMost = std::numeric_limits<memory::Bytes>::max();
      plan.workspace = static_cast<memory::Bytes>(reader.number(kMost, "a workspace"));
      constexpr std::uint64_t kFarthest = std::uint64_t{1} << 33;
      const std::uint64_t place = reader.number(kFarthest * kPlanStates, "a rank");
      plan.state = static_cast<EnginePlan::State>(place % kPlanStates);
      rank += unzigzag(place / kPlanStates);
      if (rank < 0 || rank > std::numeric_limits<int>::max()) reader.refuse(fmt::format("the rank {}", rank));
      plan.rank = static_cast<int>(rank++);
    }
    reader.finish();
    return std::make_shared<const PlanAnswer>(std::move(answer));
  }

  PackedReader reader_;
  PlanFileHeader header_;
  std::vector<PlanFileEngine> engines_;
  std::vector<Slot> answers_;
  std::vector<ConvQuery> queries_;
  std::vector<PackedReader> columns_;
};

}  // namespace

PlanFileHeader read_plan_header(std::string_view bytes, const std::string& origin) {
  PackedReader reader(bytes, origin);
  read_magic(reader, bytes.size());
  return read_header(reader);
}

std::vector<PlanTable> decode(std::string_view bytes, const std::string& origin) {
  Decoder decoder(bytes, origin);
  std::vector<PlanTable> tables;
  for (std::size_t i = 0; i < decoder.header().cards.size(); ++i) tables.push_back(decoder.table(i));
  return tables;
}

std::optional<PlanTable> decode_card(std::string_view bytes, const std::string& origin, std::string_view card) {
  Decoder decoder(bytes, origin);
  const auto& cards = decoder.header().cards;
  const auto found = std::ranges::find(cards, card);
  if (found == cards.end()) return std::nullopt;
  return decoder.table(static_cast<std::size_t>(found - cards.begin()));
}

}  // namespace mnemo
