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

/// The change that would help most, from what holds the memory.
std::string likely_fix(const OutOfMemory::Details& details) {
  if (details.injected) return "none is needed: a test asked for this failure with inject_failures";
  if (details.requested < 0 || details.requested >= memory::kTooLarge) {
    return "no device has this much: check the shapes of this operation for an overflow or a wrong dimension";
  }
  if (details.capacity > 0 && details.segment > details.capacity) {
    return fmt::format(
        "this request alone is larger than the {} that may be used: make its shapes smaller or work in pieces",
        format_bytes(details.capacity));
  }
  const Bytes cached = details.reserved - details.allocated;
  if (cached >= details.segment / 4 && cached + details.free >= details.segment) {
    return fmt::format("{} are cached, but in pieces: expandable_segments:True or max_split_size_mb keep them together",
                       format_bytes(cached));
  }
  const auto bytes_of = [&](Category category) { return details.categories[static_cast<std::size_t>(category)]; };
  const Bytes activations = bytes_of(Category::saved_activation) + bytes_of(Category::live_activation);
  const Bytes states =
      bytes_of(Category::parameter) + bytes_of(Category::gradient) + bytes_of(Category::optimizer_state);
  if (bytes_of(Category::saved_activation) * 2 > details.allocated) {
    return "saved activations hold most of the memory: use checkpointing, a smaller batch or a half type";
  }
  if (activations * 2 > details.allocated)
    return "activations hold most of the memory: use a smaller batch or a half type";
  if (states * 2 > details.allocated) {
    return "parameters, gradients and optimizer state hold most of the memory: use an optimizer with less state, a "
           "half "
           "type or a smaller model";
  }
  if (bytes_of(Category::workspace) * 2 > details.allocated) {
    return "workspaces hold most of the memory: choose algorithms that need less";
  }
  return "use a smaller batch, or free what the top holders keep";
}

/// What of the capacity is neither reserved nor free.
std::string taken_text(const OutOfMemory::Details& d) {
  std::string text;
  if (d.context > 0) text += fmt::format(", context {}", format_bytes(d.context));
  if (d.others > 0) text += fmt::format(", other processes {}", format_bytes(d.others));
  return text;
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
