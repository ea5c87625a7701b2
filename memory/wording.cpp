#include <mnemo/memory/wording.h>

#include <fmt/format.h>

namespace mnemo::memory {

std::string grouped(Bytes number) {
  std::string text = fmt::format("{}", number);
  const std::size_t sign = number < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > sign + 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string signed_bytes(Bytes bytes) { return (bytes > 0 ? "+" : "") + format_bytes(bytes); }

std::string printable(std::string_view name) {
  constexpr std::size_t kMost = 200;
  std::string text;
  for (const char c : name.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\')
      text += fmt::format("\\x{:02x}", byte);
    else
      text += c;
  }
  return name.size() > kMost ? text + "..." : text;
}

std::string where(std::string_view module, std::string_view op) {
  if (module.empty()) return printable(op);
  return op.empty() ? printable(module) : printable(module) + ' ' + printable(op);
}

std::string place(Phase phase, std::string_view module, std::string_view op) {
  if (module.empty() && op.empty()) return name(phase);
  if (module.empty() || op.empty()) return fmt::format("{}: {}", name(phase), where(module, op));
  return fmt::format("{}: {} of {}", name(phase), printable(op), printable(module));
}

const char* words(Category category) {
  switch (category) {
    case Category::parameter:
      return "parameters";
    case Category::gradient:
      return "gradients";
    case Category::optimizer_state:
      return "optimizer state";
    case Category::saved_activation:
      return "activations saved";
    case Category::live_activation:
      return "live activations";
    case Category::temporary:
      return "temporaries";
    case Category::workspace:
      return "workspace";
    case Category::input:
      return "inputs";
    case Category::other:
      break;
  }
  return "other";
}

}  // namespace mnemo::memory
