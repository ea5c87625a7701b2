#include "segments.h"

#include <algorithm>
#include <map>
#include <mutex>

#include <sys/mman.h>

namespace emulator {

namespace {

struct Segments {
  std::mutex mutex;
  std::map<std::uintptr_t, Segment> by_begin;
  const Segment* last = nullptr;
  std::uintptr_t latest_end = 0;
};

Segments& segments() {
  static auto* segments = new Segments;
  return *segments;
}

std::size_t bytes_of_lines(std::size_t bytes) { return (bytes + kLineBytes - 1) / kLineBytes * sizeof(Line); }

}  // namespace

Line* make_lines(std::size_t bytes) {
  void* const lines =
      mmap(nullptr, bytes_of_lines(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return lines == MAP_FAILED ? nullptr : static_cast<Line*>(lines);
}

void add_segment(void* begin, std::size_t bytes) {
  const auto at = reinterpret_cast<std::uintptr_t>(begin);
  Segments& s = segments();
  const std::lock_guard lock(s.mutex);
  s.by_begin[at] = {at, at + bytes, make_lines(bytes)};
  s.latest_end = at + bytes;
}

void remove_segment(void* begin) {
  Segments& s = segments();
  const std::lock_guard lock(s.mutex);
  const auto found = s.by_begin.find(reinterpret_cast<std::uintptr_t>(begin));
  if (found == s.by_begin.end()) return;
  s.last = nullptr;
  if (found->second.lines != nullptr) munmap(found->second.lines, bytes_of_lines(found->second.end - found->first));
  s.by_begin.erase(found);
}

std::uintptr_t latest_end() { return segments().latest_end; }

void hand_out_in_blocks(std::uintptr_t begin, std::uintptr_t end) {
  auto& all = segments().by_begin;
  for (auto segment = all.lower_bound(begin); segment != all.end() && segment->first < end; ++segment)
    segment->second.handed_out.assign((segment->second.end - segment->first + kUnit - 1) / kUnit, 0);
}

void hand_out(std::uintptr_t at, std::size_t bytes, bool given) {
  while (bytes > 0) {
    auto* const segment = const_cast<Segment*>(segment_before(at));
    if (segment == nullptr || at >= segment->end) return;
    const std::size_t here = std::min(bytes, segment->end - at), first = (at - segment->begin) / kUnit;
    for (std::size_t i = 0; i * kUnit < here && !segment->handed_out.empty(); ++i)
      segment->handed_out[first + i] = given ? static_cast<std::uint16_t>(std::min(kUnit, here - i * kUnit)) : 0;
    at += here;
    bytes -= here;
  }
}

bool Segment::is_handed_out(std::uintptr_t at, std::size_t bytes) const {
  if (handed_out.empty()) return true;
  for (std::size_t offset = at - begin, done = 0; done < bytes;) {
    const std::size_t place = (offset + done) % kUnit, count = std::min(bytes - done, kUnit - place);
    if (place + count > handed_out[(offset + done) / kUnit]) return false;
    done += count;
  }
  return true;
}

const Segment* segment_before(std::uintptr_t at) {
  Segments& s = segments();
  const std::lock_guard lock(s.mutex);
  const auto next = s.by_begin.upper_bound(at);
  return next == s.by_begin.begin() ? nullptr : &std::prev(next)->second;
}

const Segment* find_segment(std::uintptr_t at) {
  Segments& s = segments();
  if (s.last != nullptr && at >= s.last->begin && at < s.last->end) return s.last;
  const Segment* const found = segment_before(at);
  if (found == nullptr || at >= found->end) return nullptr;
  return s.last = found;
}

}  // namespace emulator
