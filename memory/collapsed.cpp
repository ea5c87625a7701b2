#include <mnemo/memory/collapsed.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <string>
#include <string_view>

#include <mnemo/memory/timeline.h>

namespace mnemo::memory {
namespace {

void append(std::string& stack, std::string_view part) {
  stack += ';';
  for (const char c : part) {
    const bool control = static_cast<unsigned char>(c) < 0x20;
    stack += c == ';' ? ':' : control ? ' ' : c;
  }
}

std::string stack_of(const Tag& tag) {
  std::string stack = name(tag.phase);
  for (std::string_view module = tag.module; !module.empty();) {
    const std::string_view part = module.substr(0, module.find('.'));
    append(stack, part);
    module.remove_prefix(std::min(part.size() + 1, module.size()));
  }
  append(stack, *tag.op == '\0' ? "(no op)" : tag.op);
  return stack;
}

}  // namespace

void write_collapsed(const Recording& recording, std::ostream& out) {
  Timeline timeline(recording);
  timeline.seek(recording.peak().event);
  std::map<std::string, Bytes> held;
  for (const auto& [position, block] : timeline.state().blocks()) {
    if (!block.waiting) held[stack_of(block.tag)] += block.size;
  }
  for (const auto& [stack, bytes] : held) out << stack << ' ' << bytes << '\n';
  out.flush();
}

}  // namespace mnemo::memory
