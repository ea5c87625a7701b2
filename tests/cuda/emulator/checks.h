// What a GPU would not forgive, judged while kernels run: accesses outside of the device's memory or misaligned,
// threads that touch the same bytes with nothing that orders them, warps whose lanes do not do the same. The kernels'
// sources are compiled so that they announce every access (announcements.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emulator {

enum class Access : std::uint8_t { read, write, atomic };
const char* name(Access kind);

/// Something wrong with a kernel.
struct Finding {
  enum class Kind { address, alignment, race, barrier, launch } kind;
  std::string text;
};

/// Until the end of the scope findings are kept here; else they are written on stderr, and the process fails at its
/// end.
class Findings {
 public:
  Findings();
  ~Findings();
  Findings(const Findings&) = delete;
  Findings& operator=(const Findings&) = delete;

  const std::vector<Finding>& all() const { return found_; }
  /// How many of that kind say `text`.
  int count(Finding::Kind kind, const std::string& text) const;

 private:
  friend void report(Finding::Kind kind, const std::string& text);
  std::vector<Finding> found_;
};

/// Says that the kernel that runs has done something wrong; the same of the same kernel is said once.
void report(Finding::Kind kind, const std::string& text);

/// Whether accesses are those of a kernel's thread, and judged.
inline bool judging = false;

/// Whether a recorded step is repeated: its memory may be given back since, and is kept for it.
inline bool is_repeating = false;

/// What the emulation does itself is not judged.
class Pause {
 public:
  Pause() : was_(judging) { judging = false; }
  ~Pause() { judging = was_; }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  bool was_;
};

/// Judges an access; `aligned` says that its address must be a multiple of its size. Where it leads nowhere the thread
/// that makes it ends, before it does.
void access(std::uintptr_t at, std::size_t bytes, Access kind, bool aligned);

/// A write to device memory.
struct Write {
  std::uintptr_t at;
  std::uint32_t bytes, block, thread;
};
/// Where writes to device memory are noted from now on, or null.
void note_writes(std::vector<Write>* writes);

/// Runs only those blocks of the next grids that lie at these shares of the grid, 0 being its first and 1 its last one;
/// all if there are none.
void sample_blocks(std::vector<double> shares);

}  // namespace emulator
