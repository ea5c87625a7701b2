#include <mnemo/memory/out_of_memory.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <mnemo/memory/rounding.h>

namespace mnemo {
namespace {

using memory::Bytes;
using memory::Category;
using memory::format_bytes;

std::string place(const memory::Tag& tag) {
  std::string text;
  if (*tag.op != '\0') text += fmt::format("[{}] ", tag.op);
  if (*tag.module != '\0') text += fmt::format("{}: ", tag.module);
  return text;
}

std::string holder_text(const memory::Tag& tag) {
  std::string text = name(tag.category);
  if (*tag.op != '\0') text += fmt::format(" of {}", tag.op);
  if (*tag.module != '\0') text += fmt::format(" in {}", tag.module);
  return fmt::format("{} ({}, step {})", text, name(tag.phase), tag.step);
}

/// What of the capacity is neither reserved nor free.
std::string taken_text(const OutOfMemory::Details& d) {
  std::string text;
  if (d.context > 0) text += fmt::format(", context {}", format_bytes(d.context));
  if (d.others > 0) text += fmt::format(", other processes {}", format_bytes(d.others));
  return text;
}

/// All that the allocator could have at once: neither the context nor what others hold is part of it.
Bytes room_of(const OutOfMemory::Details& d) { return d.reserved + d.free; }

std::string room_text(const OutOfMemory::Details& d) {
  const std::string taken = taken_text(d);
  const std::string room = format_bytes(room_of(d)) + " that may be used";
  return taken.empty() ? room : fmt::format("{} (capacity {}{})", room, format_bytes(d.capacity), taken);
}

/// A request that is neither small nor has a segment of its own.
bool is_large(const OutOfMemory::Details& d) {
  return d.requested > memory::kSmallLimit && d.requested <= memory::kOwnSegment - memory::kMinBlock;
}

/// The request would fit, but not the segment from which it is taken; or nothing.
std::string segment_fix(const OutOfMemory::Details& d) {
  if (d.requested > d.free || d.segment <= d.free) return {};
  std::string text = fmt::format("the {} that are free would hold this request, but not the segment of {} for it",
                                 format_bytes(d.free), format_bytes(d.segment));
  // The least that the option allows; other segments are not larger than they must be.
  constexpr Bytes kLeastLarge = 11 * memory::MiB;
  if (is_large(d) && d.free >= kLeastLarge)
    text += ": large_segment_size_mb:11 in MNEMO_ALLOC_CONF makes such segments smaller";
  return text;
}

/// What holds the memory, and what makes that less.
std::string holders_fix(const OutOfMemory::Details& d) {
  const auto bytes_of = [&](Category category) { return d.categories[static_cast<std::size_t>(category)]; };
  const auto hold_most = [&](Bytes bytes) { return bytes * 2 > d.allocated; };
  const Bytes saved = bytes_of(Category::saved_activation), live = bytes_of(Category::live_activation);
  const Bytes states =
      bytes_of(Category::parameter) + bytes_of(Category::gradient) + bytes_of(Category::optimizer_state);
  if (hold_most(saved + live) && saved >= live) {
    return fmt::format("{} hold most of the memory: use checkpointing, a smaller batch or a half type",
                       hold_most(saved) ? "saved activations" : "activations, saved ones more than others,");
  }
  if (hold_most(saved + live)) return "activations hold most of the memory: use a smaller batch or a half type";
  if (hold_most(states)) {
    return "parameters, gradients and optimizer state hold most of the memory: use an optimizer with less state, a "
           "half type or a smaller model";
  }
  if (hold_most(bytes_of(Category::workspace)))
    return "workspaces hold most of the memory: choose algorithms that need less";
  return "use a smaller batch, or free what the top holders keep";
}

/// The change that would help most, from what is asked for and what holds the memory.
std::string likely_fix(const OutOfMemory::Details& d) {
  if (d.injected) return "none is needed: a test asked for this failure with inject_failures";
  if (d.requested < 0 || d.requested >= memory::kTooLarge) {
    return "no device has this much: check the shapes of this operation for an overflow or a wrong dimension";
  }
  const bool limited = d.capacity > 0;
  const bool workspace = d.tag.category == Category::workspace;
  const char* const smaller = workspace ? "choose an algorithm that needs less (WorkspaceLimits, --workspace)"
                                        : "make its shapes smaller or work in pieces";
  if (limited && d.requested > room_of(d))
    return fmt::format("this request alone is larger than the {}: {}", room_text(d), smaller);
  if (limited && d.segment > room_of(d)) {
    std::string text =
        fmt::format("this request would fit into the {}, but not the segment of {} for it: give the device more",
                    room_text(d), format_bytes(d.segment));
    if (is_large(d)) {
      text += fmt::format(", or {}: up to {} come from segments of {}", smaller, format_bytes(memory::kSmallLimit),
                          format_bytes(memory::kSmallSegment));
    }
    return text;
  }
  if (std::string fix = segment_fix(d); limited && !fix.empty()) return fix + "; else: " + holders_fix(d);
  const Bytes cached = d.reserved - d.allocated;
  if (cached >= d.segment / 4 && cached + d.free >= d.segment) {
    return fmt::format(
        "{} are cached, but in pieces: expandable_segments:True or max_split_size_mb in MNEMO_ALLOC_CONF keep "
        "them together",
        format_bytes(cached));
  }
  // Where there is no room for the request even without all that backward waits for, sparing some of that is no way.
  const Bytes others = d.allocated - d.categories[static_cast<std::size_t>(Category::saved_activation)];
  if (limited && d.segment > room_of(d) - others && d.segment * 2 > room_of(d))
    return fmt::format("this request alone takes most of the {}: {}", room_text(d), smaller);
  return holders_fix(d);
}

std::string text_of(const OutOfMemory::Details& d) {
  std::string text = fmt::format(
      "{}out of memory on {}: requested {} ({} bytes) in {}, which needs a segment of {}; allocated {}, reserved {} "
      "({} of it unallocated), capacity {}, free {}{}, largest free block {}, fragmentation {:.1f} %",
      place(d.tag), d.device, format_bytes(d.requested), d.requested, name(d.tag.phase), format_bytes(d.segment),
      format_bytes(d.allocated), format_bytes(d.reserved), format_bytes(d.reserved - d.allocated),
      d.capacity > 0 ? format_bytes(d.capacity) : "unlimited", d.capacity > 0 ? format_bytes(d.free) : "unlimited",
      taken_text(d), format_bytes(d.largest_free_block), d.fragmentation * 100);

  std::vector<std::pair<Bytes, Category>> held;
  for (int i = 0; i < memory::kCategories; ++i) {
    const Bytes bytes = d.categories[static_cast<std::size_t>(i)];
    if (bytes > 0) held.emplace_back(bytes, static_cast<Category>(i));
  }
  std::stable_sort(held.begin(), held.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  if (!held.empty()) text += "\n  categories:";
  for (std::size_t i = 0; i < held.size(); ++i) {
    text += fmt::format("{} {} {}", i == 0 ? "" : ",", name(held[i].second), format_bytes(held[i].first));
  }
  if (!d.top_holders.empty()) text += "\n  top holders:";
  for (const auto& holder : d.top_holders) {
    text += fmt::format("\n    {} {}", format_bytes(holder.bytes), holder_text(holder.tag));
  }
  return text + "\n  likely fix: " + likely_fix(d);
}

}  // namespace

OutOfMemory::OutOfMemory(Details details) : details_(std::move(details)), text_(text_of(details_)) {}

}  // namespace mnemo
