// Which accesses of a kernel's threads are ordered: by barriers of a block or a warp, and between blocks by fences and
// atomics. Threads of a warp are not in step.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace emulator {

/// Where the thread that runs stands.
struct Place {
  std::uint32_t block = 0;                        ///< counted among those of the launch that ran
  std::uint32_t thread = 0;                       ///< of the block
  std::uint32_t block_epoch = 0, warp_epoch = 0;  ///< barriers that it has passed
};

/// A thread's way from one barrier or fence to the next.
struct Step {
  static constexpr std::uint32_t kNever = ~0u;
  Place place;
  std::uint32_t fence_block_epoch = kNever, fence_warp_epoch = 0;  ///< when the fence came that ended it
};

class Order {
 public:
  void begin_launch();
  void begin_block(std::uint32_t threads);

  /// The number of the step that the thread is in; not 0.
  std::uint32_t step(const Place& now) {
    std::uint32_t& own = current_[now.thread];
    if (own != 0) {
      const Place& place = steps_[own].place;
      if (place.block_epoch == now.block_epoch && place.warp_epoch == now.warp_epoch) return own;
    }
    own = static_cast<std::uint32_t>(steps_.size());
    steps_.push_back({now});
    open_[now.thread].push_back(own);
    return own;
  }
  const Step& at(std::uint32_t step) const { return steps_[step]; }
  /// Whether all that happened in a step has happened before what the thread does now.
  bool is_before(std::uint32_t step, const Place& now) const;

  /// __threadfence().
  void fence(const Place& now);
  /// An atomic operation: it sees those before it at that address, and is seen by those after it.
  void meet(const Place& now, std::uintptr_t address);

 private:
  /// An atomic operation that tells others what happened before a fence before it.
  struct Release {
    Place place;
    std::uint32_t own_step;  ///< the last one that the thread's own fence ended, or 0
    Place own_fence;
  };
  struct Address {
    std::vector<Release> releases;
    std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> by_block;
  };
  /// The first `count` releases at an address, seen by a thread.
  struct View {
    const Address* address;
    std::uint32_t count;
    Place place;
  };
  struct Fence {
    std::uint32_t step = 0;
    Place place;
  };

  bool covers(const Release& release, const Step& step) const;

  std::vector<Step> steps_;
  std::unordered_map<std::uintptr_t, Address> addresses_;
  // of the block that runs
  std::vector<std::uint32_t> current_;            ///< step of each thread, or 0
  std::vector<std::vector<std::uint32_t>> open_;  ///< steps of each thread that no fence has ended
  std::vector<Fence> fences_;                     ///< the last of each thread
  std::vector<View> seen_, acquired_;             ///< by atomics; and then made to count by a fence
  bool fenced_ = false;
};

}  // namespace emulator
