#include <mnemo/memory/summary.h>

#include <array>

#include <fmt/format.h>

#include <mnemo/memory/wording.h>

namespace mnemo::memory {
namespace {

constexpr int kWidth = 84;  // between the outer bars

class Text {
 public:
  void rule(char of) { text_ += fmt::format("|{}|\n", std::string(kWidth, of)); }
  void centred(const std::string& title) { text_ += fmt::format("|{:^{}}|\n", title, kWidth); }
  void halves(const std::string& left, const std::string& right) {
    text_ += fmt::format("|{:^{}}|{:^{}}|\n", left, kWidth / 2, right, kWidth - kWidth / 2 - 1);
  }
  void cells(std::string_view metric, const std::array<std::string, 4>& columns) {
    text_ += fmt::format("| {:<23}|", metric);
    for (const std::string& column : columns) text_ += fmt::format(" {:>12} |", column);
    text_ += '\n';
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

using Format = std::string (*)(Bytes);

void rows(Text& table, const char* metric, const PoolStat& stat, Format format) {
  const auto row = [&](std::string_view title, const Stat& s) {
    table.cells(title, {format(s.current), format(s.peak), format(s.allocated), format(s.freed)});
  };
  row(metric, stat.all);
  row("      from large pool", stat.large_pool);
  row("      from small pool", stat.small_pool);
  table.rule('-');
}

}  // namespace

std::string summary(const CachingAllocator& allocator, const std::string& device) {
  const Statistics s = allocator.statistics();
  const CategoryBytes categories = allocator.categories();
  Text table;
  table.rule('=');
  table.centred("mnemo memory summary, " + printable(device));
  table.rule('-');
  table.halves(fmt::format("out of memory: {}", s.num_ooms),
               fmt::format("allocations retried after a flush: {}", s.num_alloc_retries));
  table.rule('=');
  table.cells("Metric", {"Cur Usage", "Peak Usage", "Tot Alloc", "Tot Freed"});
  table.rule('-');
  rows(table, "Allocated memory", s.allocated_bytes, format_bytes);
  rows(table, "Active memory", s.active_bytes, format_bytes);
  rows(table, "Requested memory", s.requested_bytes, format_bytes);
  rows(table, "Reserved memory", s.reserved_bytes, format_bytes);
  rows(table, "Non-releasable memory", s.inactive_split_bytes, format_bytes);
  rows(table, "Allocations", s.allocation, grouped);
  rows(table, "Active allocs", s.active, grouped);
  rows(table, "Reserved segments", s.segment, grouped);
  rows(table, "Non-releasable allocs", s.inactive_split, grouped);
  const auto single = [&](const char* metric, const Stat& stat) {
    table.cells(metric, {grouped(stat.current), grouped(stat.peak), grouped(stat.allocated), grouped(stat.freed)});
  };
  single("Oversize allocations", s.oversize_allocations);
  single("Oversize segments", s.oversize_segments);
  if (const Bytes kept = allocator.kept(); kept > 0)
    table.cells("Kept for recorded steps", {format_bytes(kept), "", "", ""});
  table.rule('=');
  const Peak peak = allocator.peak();
  table.cells("Allocated, by category", {"Cur Usage", "At the peak", "", ""});
  table.rule('-');
  Bytes now = 0;
  for (std::size_t i = 0; i < kCategories; ++i) {
    now += categories[i];
    if (categories[i] == 0 && peak.categories[i] == 0) continue;
    table.cells(name(static_cast<Category>(i)),
                {format_bytes(categories[i]), format_bytes(peak.categories[i]), "", ""});
  }
  table.cells("sum", {format_bytes(now), format_bytes(peak.allocated), "", ""});
  table.rule('=');
  return table.take();
}

}  // namespace mnemo::memory
