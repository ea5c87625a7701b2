// The sentences on top of a difference.
#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include <mnemo/memory/difference.h>
#include <mnemo/memory/wording.h>

namespace mnemo::memory {

namespace {

/// Causes of one kind together; a workspace stays with its layer.
struct Part {
  std::string name;
  Bytes bytes = 0;
  std::string note;  ///< "(eng34_k0=2 -> eng34_k0=18)"
};

std::vector<Part> parts_of(const std::vector<Cause>& causes) {
  std::vector<Part> parts;
  for (const Cause& cause : causes) {
    const bool of_layer = cause.cause == words(Category::workspace);
    const std::string name = of_layer ? "workspace of " + cause.where : cause.cause;
    auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& known) { return known.name == name; });
    if (part == parts.end()) part = parts.insert(parts.end(), {name, 0, {}});
    part->bytes += cause.bytes;
    if (!cause.algorithms.empty()) part->note = fmt::format(" ({})", cause.algorithms);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return std::abs(a.bytes) > std::abs(b.bytes); });
  parts.erase(std::remove_if(parts.begin(), parts.end(), [](const Part& part) { return part.bytes == 0; }),
              parts.end());
  return parts;
}

/// "workspace of conv1 conv2d +192.50 MiB, activations saved -3.50 MiB, the
/// rest +512 bytes"
std::string sum_text(const std::vector<Cause>& causes, std::size_t most) {
  const std::vector<Part> parts = parts_of(causes);
  std::string text;
  Bytes rest = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i < most)
      text += fmt::format("{}{} {}{}", i == 0 ? "" : ", ", parts[i].name, signed_bytes(parts[i].bytes), parts[i].note);
    else
      rest += parts[i].bytes;
  }
  if (rest != 0) text += ", the rest " + signed_bytes(rest);
  return text;
}

std::string change_text(const char* what, const Change& change) {
  if (change.a == change.b) return fmt::format("{} is the same, {}", what, format_bytes(change.a));
  return fmt::format("{} {} by {}, {} to {}", what, change.b > change.a ? "rose" : "fell",
                     format_bytes(std::abs(change.b - change.a)), format_bytes(change.a), format_bytes(change.b));
}

}  // namespace

std::string answer(const Difference& d) {
  std::string text = change_text("Peak allocated", d.peak_allocated);
  const std::string allocated = sum_text(d.peak_allocated.causes, 4);
  if (!allocated.empty()) text += ": " + allocated;
  text += ". " + change_text("Peak reserved", d.peak_reserved);

  // What belongs to the cache is in the one list and not in the other.
  std::vector<Cause> of_cache;
  for (const Cause& cause : d.peak_reserved.causes) {
    const bool shared =
        std::any_of(d.peak_allocated.causes.begin(), d.peak_allocated.causes.end(),
                    [&](const Cause& other) { return other.cause == cause.cause && other.where == cause.where; });
    if (!shared) of_cache.push_back(cause);
  }
  if (d.peak_reserved.a != d.peak_reserved.b) {
    const std::string cached = sum_text(of_cache, 3);
    const Bytes by = d.peak_allocated.b - d.peak_allocated.a;
    const std::string allocated_part = by == 0 ? "" : "allocated " + signed_bytes(by);
    text += fmt::format(": {}{}{}", allocated_part, allocated_part.empty() || cached.empty() ? "" : ", ", cached);
  }
  text += "; " + change_text("device use", d.device_use);
  for (const Cause& cause : d.device_use.causes) {
    if (cause.cause == "context") text += fmt::format(" (context {})", signed_bytes(cause.bytes));
  }
  return text + '.';
}

}  // namespace mnemo::memory
