// Judges each access of a kernel's thread: is there memory, is it aligned, and is it ordered with what others did
// there.
#include "checks.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>

#include <link.h>

#include "block.h"
#include "launch.h"
#include "order.h"
#include "segments.h"

namespace emulator {

namespace {

constexpr std::size_t kSharedBytes = 48 << 10;  ///< that a block may have without asking for more
constexpr std::size_t kFar = 64 << 20;          ///< behind a segment: what lies there was not meant for it

/// Memory of the host that stands for the block's shared memory: the variables of the thread that runs its fibers.
struct Shared {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  Line* lines = nullptr;
};

struct State {
  Order order;
  Shared shared;
  std::uint32_t launch = 0, block = 0;  ///< numbers of the ones that run, in the process
  std::size_t shared_lines = 0;         ///< that the block has touched
  int told = 0;                         ///< findings of the launch
  Findings* findings = nullptr;
  std::set<std::string> said;
  std::vector<Write>* writes = nullptr;
};

State& state() {
  static auto* state = new State;
  return *state;
}

Place running_place() { return {running_block, block->thread(), block->epoch(), block->epoch_of_warp()}; }

/// Whether a kernel may read it although it is not the device's: its parameters, the numbers of its threads.
bool is_given(std::uintptr_t at) {
  return at - reinterpret_cast<std::uintptr_t>(running_call->parameters.get()) < running_call->bytes ||
         at - reinterpret_cast<std::uintptr_t>(&registers) < sizeof registers;
}

int find_shared(dl_phdr_info* info, std::size_t, void* to) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
    auto& shared = *static_cast<Shared*>(to);
    shared.begin = reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data);
    shared.bytes = info->dlpi_phdr[i].p_memsz;
  }
  return 1;  // the program comes first, and is all that has kernels
}

[[noreturn]] void fail_at_end() {
  std::fflush(nullptr);
  std::fputs("emulator: kernels did what a GPU does not forgive (above): the process fails\n", stderr);
  std::_Exit(70);
}

std::string text_of(const Place& place) { return block_text(place.block) + " " + thread_text(place.thread); }

/// Where an access goes, in words.
struct Target {
  const Segment* segment;  ///< or null: shared memory
  std::uintptr_t at;
  bool is_element;  ///< not a structure, which may have gaps

  std::string text() const {
    if (segment == nullptr) return shared_name(at - state().shared.begin);
    return "byte " + std::to_string(at - segment->begin) + " of a segment of " +
           std::to_string(segment->end - segment->begin);
  }
};

/// A launch with something wrong mostly has it everywhere: to say the same again takes long.
bool is_told_enough() { return ++state().told > 100; }

void report_race(const Target& target, std::size_t bytes, Access kind, std::uint32_t other, Access other_kind) {
  const std::string where = is_told_enough() ? "" : target.text();
  if (where.empty()) return;
  const Place now = running_place();
  const Place& then = state().order.at(other).place;
  report(Finding::Kind::race, std::string(then.block != now.block               ? "blocks"
                                          : then.thread / 32 != now.thread / 32 ? "warps"
                                                                                : "lanes") +
                                  " race: " + text_of(now) + " " + name(kind) + " " + std::to_string(bytes) +
                                  " bytes at " + where + ", which " + text_of(then) +
                                  (other_kind == Access::read    ? " has read"
                                   : other_kind == Access::write ? " has written"
                                                                 : " has changed atomically") +
                                  ", and nothing orders the two");
}

/// Judges and notes an access to all of a cell.
void judge(Cell& cell, const Place& now, std::uint32_t step, Access kind, const Target& target, std::size_t bytes) {
  const Order& order = state().order;
  const auto check = [&](std::uint32_t other, Access other_kind) {
    if (other == 0 || other == step || order.is_before(other, now)) return true;
    report_race(target, bytes, kind, other, other_kind);
    return false;
  };
  if (cell.write == 0 && target.segment == nullptr && target.is_element && kind != Access::write) {
    const std::string where = is_told_enough() ? "" : target.text();
    if (!where.empty())
      report(Finding::Kind::address, running_thread() + " " + name(kind) + " " + std::to_string(bytes) + " bytes at " +
                                         where + ", where its block has written nothing");
  }
  const bool was_atomic = (cell.write & kAtomic) != 0;
  if (!was_atomic || kind != Access::atomic) check(cell.write & ~kAtomic, was_atomic ? Access::atomic : Access::write);
  if (kind != Access::read) {
    check(cell.reads[0], Access::read) && check(cell.reads[1], Access::read) && check(cell.foreign_read, Access::read);
    cell = {kind == Access::atomic ? step | kAtomic : step, {0, 0}, 0};
    return;
  }
  if (cell.reads[0] == step || cell.reads[1] == step) return;
  if (cell.reads[0] != 0 && order.at(cell.reads[0]).place.block != now.block) {
    cell.foreign_read = cell.reads[0];
    cell.reads[0] = cell.reads[1] = 0;
  }
  // Two that nothing orders, of different warps if there are any, are enough: whoever writes is ordered with neither,
  // or is one of them.
  const auto yields = [&](std::uint32_t read) { return read == 0 || order.is_before(read, now); };
  if (yields(cell.reads[0]))
    cell.reads[0] = step;
  else if (yields(cell.reads[1]) || order.at(cell.reads[0]).place.thread / 32 != now.thread / 32)
    cell.reads[1] = step;
}

/// Makes the cells of a line smaller.
void split(Line& line, std::uint32_t size) {
  const std::uint32_t ratio = line.size / size, cells = 16 / size;
  for (std::uint32_t i = cells; i-- > 0;) line.cells[i] = line.cells[i / ratio];
  line.size = size;
}

void judge_lines(Line* lines, std::uint32_t stamp, std::size_t offset, std::size_t bytes, Access kind,
                 const Target& target) {
  const Place now = running_place();
  const std::uint32_t step = state().order.step(now);
  const std::size_t whole = bytes;
  while (bytes > 0) {
    Line& line = lines[offset / kLineBytes];
    const auto first = static_cast<std::uint32_t>(offset % kLineBytes);
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, kLineBytes - first));
    const std::uint32_t unit = (first | count) & -(first | count);  // the largest power of two that divides both
    if (line.stamp != stamp) {
      line.stamp = stamp;
      line.size = unit;
      std::fill_n(line.cells, 16 / unit, Cell{});
      if (target.segment == nullptr) ++state().shared_lines;
    } else if (line.size > unit) {
      split(line, unit);
    }
    for (std::uint32_t i = first / line.size; i < (first + count) / line.size; ++i)
      judge(line.cells[i], now, step, kind, target, whole);
    offset += count;
    bytes -= count;
  }
}

/// Says where an access leads that leads nowhere, and ends the thread.
[[noreturn]] void refuse(std::uintptr_t at, std::size_t bytes, Access kind) {
  const Segment* const before = segment_before(at);
  std::string where = "an address that is not the device's";
  if (is_any_stack(at))
    where = "the stack of another thread";
  else if (before != nullptr && at - before->begin < before->end - before->begin + kFar)
    where = std::to_string(at - before->begin) + " bytes into a segment of " +
            std::to_string(before->end - before->begin) +
            (at < before->end ? ", where no block that is in use has them" : "");
  report(Finding::Kind::address,
         running_thread() + " " + name(kind) + " " + std::to_string(bytes) + " bytes at " + where);
  where.clear();
  where.shrink_to_fit();  // no destructor runs
  end_thread();
}

}  // namespace

const char* name(Access kind) {
  return kind == Access::read ? "reads" : kind == Access::write ? "writes" : "changes atomically";
}

Findings::Findings() {
  state().findings = this;
  state().said.clear();
}
Findings::~Findings() {
  state().findings = nullptr;
  state().said.clear();
}
int Findings::count(Finding::Kind kind, const std::string& text) const {
  int count = 0;
  for (const Finding& finding : found_) count += finding.kind == kind && finding.text.find(text) != std::string::npos;
  return count;
}

void report(Finding::Kind kind, const std::string& text) {
  State& s = state();
  const std::string kernel = running_kernel();
  // Addresses and numbers of threads differ, what is wrong does not.
  std::string gist = kernel;
  for (const char c : text) {
    if (c < '0' || c > '9') gist += c;
  }
  if (!s.said.insert(gist).second) return;
  if (s.findings != nullptr) {
    s.findings->found_.push_back({kind, "kernel " + kernel + ": " + text});
    return;
  }
  static const bool failing = std::atexit([] { fail_at_end(); }) == 0;
  std::fprintf(stderr, "emulator: kernel %s: %s%s\n", kernel.c_str(), text.c_str(), failing ? "" : " (not counted)");
}

void begin_judged_launch() {
  State& s = state();
  ++s.launch;
  s.told = 0;
  s.order.begin_launch();
  const std::uintptr_t before = s.shared.begin;
  dl_iterate_phdr(&find_shared, &s.shared);
  if (s.shared.lines == nullptr && s.shared.bytes > 0) s.shared.lines = make_lines(s.shared.bytes + kLineBytes);
  if (s.shared.begin != before) ++s.block;  // another thread of the host, with variables of its own
}
void begin_judged_block(std::uint32_t threads) {
  State& s = state();
  ++s.block;
  s.shared_lines = 0;
  s.order.begin_block(threads);
}
void judge_fence() {
  const Pause pause;
  state().order.fence(running_place());
}

void note_writes(std::vector<Write>* writes) { state().writes = writes; }

void access(std::uintptr_t at, std::size_t bytes, Access kind, bool aligned) {
  if (block->is_on_stack(at) || bytes == 0 || (kind == Access::read && is_given(at))) return;
  const Pause pause;
  State& s = state();
  const Shared& shared = s.shared;
  const bool is_shared = at - shared.begin < shared.bytes;
  const Segment* segment = is_shared ? nullptr : find_segment(at);
  // 16 bytes may be two numbers that the compiler moves as one: what must be aligned to 16 says so by its type.
  const std::size_t unit = std::min<std::size_t>(bytes, 8);
  if (aligned && at % unit != 0) {
    report(Finding::Kind::alignment, running_thread() + " " + name(kind) + " " + std::to_string(bytes) +
                                         " bytes at an address that is no multiple of " + std::to_string(unit) +
                                         " but " + std::to_string(at % unit) + " behind one");
    end_thread();
  }
  if (is_shared) {
    const std::size_t offset = at - shared.begin + shared.begin % kLineBytes;
    judge_lines(shared.lines, s.block, offset, bytes, kind, {nullptr, at, aligned});
    if (s.shared_lines * kLineBytes > kSharedBytes + kLineBytes)
      report(Finding::Kind::launch, "a block uses more than 48 KiB of shared memory");
    return;
  }
  if (kind == Access::atomic && segment != nullptr) s.order.meet(running_place(), at);
  for (std::uintptr_t next = at; next < at + bytes;) {
    segment = find_segment(next);
    if (segment == nullptr) refuse(at, bytes, kind);
    const std::size_t count = std::min(at + bytes, segment->end) - next;
    if (!segment->is_handed_out(next, count) && !is_repeating) refuse(at, bytes, kind);
    judge_lines(segment->lines, s.launch, next - segment->begin, count, kind, {segment, next, aligned});
    next += count;
  }
  if (s.writes != nullptr && kind != Access::read) {
    const Place now = running_place();
    s.writes->push_back({at, static_cast<std::uint32_t>(bytes), now.block, now.thread});
  }
}

}  // namespace emulator
