// Arrays beyond 2^31 and 2^32 elements at the price of what is touched of them, and kernels over them of which a few
// blocks run: what these write is compared with what the operation says.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <mnemo/core/array.h>
#include <mnemo/core/backend.h>
#include <mnemo/core/visit_floating.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checks.h"

namespace large {

using mnemo::Array;
using mnemo::Device;
using mnemo::DType;
using mnemo::Shape;

inline constexpr std::int64_t k2To31 = std::int64_t{1} << 31, k2To32 = std::int64_t{1} << 32;
/// What lies beyond 2^32 is more than any gap between what blocks of a sample write.
inline constexpr std::int64_t kBeyond = std::int64_t{1} << 27, kCount = k2To32 + kBeyond + 5;

/// Memory of at least so many bytes is 0 until it is touched.
inline constexpr std::int64_t kSparse = std::int64_t{1} << 30;

/// An element, wherever the array lies: memory of the emulated device is the host's.
inline double at(const Array& array, std::int64_t i) {
  double value = 0;
  mnemo::visit(array.dtype(), [&](auto zero) { value = mnemo::cast<double>(array.data<decltype(zero)>()[i]); });
  return value;
}

/// The device, and what its kernels are said to do.
class Card {
 public:
  Card() : device_(Device::open("cuda")) {}

  mnemo::Backend& backend() { return device_.backend(); }
  const Device& device() const { return device_; }

  /// Zeros.
  Array zeros(const Shape& shape, DType dtype) const {
    const Array array(shape, dtype, device_);
    if (array.bytes() < kSparse) std::memset(array.storage()->data(), 0, static_cast<std::size_t>(array.bytes()));
    return array;
  }
  /// Numbers that repeat, but not at a power of two: two indices of which one is the other's lower bits see different
  /// ones. Numbers between -2 and 2, or from 0 to 99, or truths.
  Array numbers(const Shape& shape, DType dtype) const {
    constexpr std::size_t kPeriod = std::size_t{4093} * 4096;
    const Array array = zeros(shape, dtype);
    REQUIRE(array.bytes() >= kSparse);  // then it has a segment of its own, which begins at a page
    const int file = memfd_create("numbers", 0);
    REQUIRE(ftruncate(file, kPeriod) == 0);
    void* const period = mmap(nullptr, kPeriod, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    std::uint32_t state = 1;
    mnemo::visit(dtype, [&](auto zero) {
      using T = decltype(zero);
      for (std::size_t i = 0; i < kPeriod / sizeof(T); ++i) {
        state = state * 1664525u + 1013904223u;
        const double share = state / 4294967296.0;
        static_cast<T*>(period)[i] = mnemo::cast<T>(mnemo::is_floating(dtype) ? share * 4 - 2
                                                    : dtype == DType::boolean ? std::floor(share * 2)
                                                                              : std::floor(share * 100));
      }
    });
    munmap(period, kPeriod);
    std::byte* const first = array.storage()->data();
    for (std::size_t done = 0; done < static_cast<std::size_t>(array.bytes()); done += kPeriod) {
      const std::size_t rest = static_cast<std::size_t>(array.bytes()) - done, page = 4096;
      const std::size_t bytes = std::min(kPeriod, (rest + page - 1) / page * page);
      void* const mapped = mmap(first + done, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0);
      REQUIRE(mapped == first + done);
    }
    close(file);
    return array;
  }

  /// Does something, of whose kernels only the blocks at `shares` of the grid run.
  template <class Work>
  void sample(const Work& work, std::vector<double> shares = {0, 1}) {
    writes_.clear();
    emulator::sample_blocks(std::move(shares));
    emulator::note_writes(&writes_);
    work();
    emulator::note_writes(nullptr);
    emulator::sample_blocks({});
  }

  /// What was written of an array.
  struct Written {
    std::vector<std::pair<std::int64_t, std::int64_t>> runs;  ///< of elements [first, second), in order
    int twice = 0;                                            ///< how often something was that had been written
    std::int64_t gap = 0;  ///< elements of the widest one between two runs, or to the very end
  };
  Written written(const Array& out) const {
    const auto first = reinterpret_cast<std::uintptr_t>(out.storage()->data());
    const std::int64_t size = mnemo::size_of(out.dtype());
    std::vector<std::pair<std::int64_t, std::int64_t>> all;
    for (const emulator::Write& write : writes_) {
      if (write.at - first >= static_cast<std::uintptr_t>(out.bytes())) continue;
      const auto begin = static_cast<std::int64_t>(write.at - first);
      all.emplace_back(begin / size, (begin + write.bytes) / size);
    }
    std::sort(all.begin(), all.end());
    Written result;
    std::int64_t end = 0;
    for (const auto& [from, until] : all) {
      if (from < end) ++result.twice;
      result.gap = std::max(result.gap, from - end);
      if (!result.runs.empty() && from == end)
        result.runs.back().second = until;
      else
        result.runs.emplace_back(from, until);
      end = until;
    }
    result.gap = std::max(result.gap, out.numel() - end);
    return result;
  }

  /// Elements of `out` that were written are what `expected(i)` says, but for rounding: some of the first, of the last,
  /// and around those where 31 and 32 bits end. None was written twice, and gaps between them are no wider than `gap`.
  template <class Expected>
  void compare(const Array& out, const Expected& expected, std::int64_t gap = 1 << 25, double tolerance = 0.01) const {
    const Written found = written(out);
    const auto& all = found.runs;
    REQUIRE(!all.empty());
    CHECK(found.twice == 0);
    CHECK(found.gap <= gap);
    CHECK(out.numel() - all.back().second <= 1 << 26);
    for (const std::int64_t about : {std::int64_t{0}, k2To31 - 1, k2To31, k2To32 - 1, k2To32, out.numel() - 1}) {
      auto run = std::lower_bound(all.begin(), all.end(), std::pair(about, std::int64_t{0}));
      for (int back = 0; back < 2 && run != all.begin(); ++back) --run;
      for (int turn = 0; turn < 4 && run != all.end(); ++turn, ++run) {
        int wrong = 0;
        for (std::int64_t i = run->first; i < run->second && i < run->first + 64; ++i) {
          const double wanted = expected(i), value = at(out, i);
          const bool same = std::abs(value - wanted) <= tolerance * (1 + std::abs(wanted)) || value == wanted;
          if (same) continue;
          if (wrong++ == 0) FAIL_CHECK("element " << i << " is " << value << ", not " << wanted);
        }
      }
    }
  }

 private:
  Device device_;
  std::vector<emulator::Write> writes_;
};

}  // namespace large
