// The rules are those of CUDA's memory model, with one addition that everybody relies on: where all threads fence, then
// meet at a barrier, and one of them does the atomic operation, that tells of what all of them did, and likewise when
// one has seen something and all fence behind a barrier.
#include "order.h"

namespace emulator {

namespace {

/// Whether what a thread did at `before` came before what the other does at `now`, both of one block.
bool is_earlier(const Place& before, const Place& now) {
  if (before.thread == now.thread || before.block_epoch < now.block_epoch) return true;
  return before.thread / 32 == now.thread / 32 && before.warp_epoch < now.warp_epoch;
}

}  // namespace

void Order::begin_launch() {
  steps_.assign(1, {});
  addresses_.clear();
}

void Order::begin_block(std::uint32_t threads) {
  current_.assign(threads, 0);
  fences_.assign(threads, {});
  if (open_.size() < threads) open_.resize(threads);
  for (auto& steps : open_) steps.clear();
  seen_.clear();
  acquired_.clear();
  fenced_ = false;
}

bool Order::is_before(std::uint32_t step, const Place& now) const {
  const Step& other = steps_[step];
  if (other.place.block == now.block && is_earlier(other.place, now)) return true;
  for (const View& view : acquired_) {
    if (!is_earlier(view.place, now)) continue;
    const auto of_block = view.address->by_block.find(other.place.block);
    if (of_block == view.address->by_block.end()) continue;
    for (const std::uint32_t i : of_block->second) {
      if (i < view.count && covers(view.address->releases[i], other)) return true;
    }
  }
  return false;
}

bool Order::covers(const Release& release, const Step& step) const {
  // The thread's own fence, with what it knew of others by then.
  if (release.own_step != 0) {
    if (step.place.thread == release.place.thread ? &step <= &steps_[release.own_step]
                                                  : is_earlier(step.place, release.own_fence))
      return true;
  }
  // Another thread's, and a barrier between that and the atomic.
  if (step.fence_block_epoch == Step::kNever || step.place.thread == release.place.thread) return false;
  Place fence = step.place;
  fence.block_epoch = step.fence_block_epoch, fence.warp_epoch = step.fence_warp_epoch;
  return is_earlier(fence, release.place);
}

void Order::fence(const Place& now) {
  fenced_ = true;
  for (const std::uint32_t i : open_[now.thread]) {
    steps_[i].fence_block_epoch = now.block_epoch;
    steps_[i].fence_warp_epoch = now.warp_epoch;
  }
  open_[now.thread].clear();
  current_[now.thread] = 0;
  fences_[now.thread] = {static_cast<std::uint32_t>(steps_.size() - 1), now};
  for (const View& view : seen_) {
    if (!is_earlier(view.place, now)) continue;
    bool known = false;
    for (const View& other : acquired_) {
      known = known || (other.address == view.address && other.count >= view.count && is_earlier(other.place, now));
    }
    if (!known) acquired_.push_back({view.address, view.count, now});
  }
}

void Order::meet(const Place& now, std::uintptr_t address) {
  const auto found = addresses_.find(address);
  if (found == addresses_.end() && !fenced_) return;
  Address& here = found == addresses_.end() ? addresses_[address] : found->second;
  const auto before = static_cast<std::uint32_t>(here.releases.size());
  if (before > 0) seen_.push_back({&here, before, now});
  if (!fenced_) return;
  const auto tell = [&](const Release& release) {
    here.by_block[release.place.block].push_back(static_cast<std::uint32_t>(here.releases.size()));
    here.releases.push_back(release);
  };
  // What the thread has learnt at other addresses goes on from here.
  for (const View& view : acquired_) {
    if (view.address == &here || !is_earlier(view.place, now)) continue;
    for (std::uint32_t i = 0; i < view.count; ++i) tell(view.address->releases[i]);
  }
  tell({now, fences_[now.thread].step, fences_[now.thread].place});
}

}  // namespace emulator
