// Host memory, straight from the operating system, so that what is given back is really gone.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include <mnemo/memory/source.h>

namespace mnemo::memory {
namespace {

constexpr Bytes kAlignment = 2 * MiB;  // a huge page

std::byte* reserve(Bytes bytes, int protection) {
  // Ask for more and cut both ends off: the kernel only promises small pages.
  const std::size_t size = static_cast<std::size_t>(bytes);
  const std::size_t slack = static_cast<std::size_t>(kAlignment);
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (protection == PROT_NONE ? MAP_NORESERVE : 0);
  void* raw = mmap(nullptr, size + slack, protection, flags, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  std::byte* begin = static_cast<std::byte*>(raw);
  const std::size_t lead = (slack - reinterpret_cast<std::uintptr_t>(begin) % slack) % slack;
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t used = (size + page - 1) / page * page;
  if (lead > 0) munmap(begin, lead);
  if (used < size + slack - lead) munmap(begin + lead + used, size + slack - lead - used);
  return begin + lead;
}

void advise_huge_pages(std::byte* data, Bytes bytes) { madvise(data, static_cast<std::size_t>(bytes), MADV_HUGEPAGE); }

class HostSource final : public Source {
 public:
  explicit HostSource(Bytes capacity) : capacity_(capacity) {
    if (capacity_ <= 0) capacity_ = Bytes{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  }

  std::byte* allocate(Bytes bytes) override {
    if (bytes > free_bytes()) return nullptr;
    std::byte* segment = reserve(bytes, PROT_READ | PROT_WRITE);
    if (segment == nullptr) return nullptr;
    advise_huge_pages(segment, bytes);
    used_ += bytes;
    return segment;
  }

  void free(std::byte* segment, Bytes bytes) noexcept override {
    munmap(segment, static_cast<std::size_t>(bytes));
    used_ -= bytes;
  }

  std::byte* reserve_range(Bytes bytes) override { return reserve(bytes, PROT_NONE); }

  void release_range(std::byte* range, Bytes bytes) noexcept override {
    munmap(range, static_cast<std::size_t>(bytes));
  }

  bool map(std::byte* address, Bytes bytes) override {
    if (bytes > free_bytes()) return false;
    if (mprotect(address, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE) != 0) return false;
    advise_huge_pages(address, bytes);
    used_ += bytes;
    return true;
  }

  void unmap(std::byte* address, Bytes bytes) noexcept override {
    madvise(address, static_cast<std::size_t>(bytes), MADV_DONTNEED);
    mprotect(address, static_cast<std::size_t>(bytes), PROT_NONE);
    used_ -= bytes;
  }

  Bytes capacity() const override { return capacity_; }
  Bytes free_bytes() const override { return std::max<Bytes>(0, capacity_ - used_); }

  EventId record(StreamId) override { return ++recorded_; }
  bool is_done(EventId) override { return true; }
  void wait(EventId) override {}

 private:
  Bytes capacity_;
  Bytes used_ = 0;
  EventId recorded_ = 0;
};

}  // namespace

std::unique_ptr<Source> make_host_source(Bytes capacity) { return std::make_unique<HostSource>(capacity); }

}  // namespace mnemo::memory
