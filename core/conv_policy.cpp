// The texts of convolution policies.
#include <array>
#include <utility>

#include <fmt/format.h>

#include <mnemo/core/conv.h>
#include <mnemo/memory/error.h>

namespace mnemo {

namespace {

using Choice = ConvPolicy::Choice;

constexpr std::string_view kLimited = "workspace<=";
constexpr std::array<std::pair<std::string_view, Choice>, 7> kWords{{{"auto", Choice::automatic},
                                                                     {"heuristic", Choice::heuristic},
                                                                     {"deterministic", Choice::deterministic},
                                                                     {"pytorch", Choice::pytorch},
                                                                     {"direct", Choice::direct},
                                                                     {"gemm", Choice::gemm},
                                                                     {"fastest", Choice::fastest}}};

bool is_engine(std::string_view text) {
  return text.size() > 3 && text.starts_with("eng") && text[3] >= '0' && text[3] <= '9' &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_=-") == std::string_view::npos;
}

bool read_choice(std::string_view word, ConvPolicy& policy) {
  for (const auto& [known, choice] : kWords) {
    if (word != known) continue;
    policy.choice = choice;
    if (choice == Choice::pytorch) {
      policy.allow_tf32 = true;
      policy.layout = ConvLayout::contiguous;
    }
    return true;
  }
  if (!is_engine(word)) return false;
  policy.choice = Choice::engine;
  policy.engine = word;
  return true;
}

bool read_limit(std::string_view word, ConvPolicy& policy) {
  if (word == "zero-workspace" || word == "workspace<=0") {
    policy.workspace_limit = 0;
    return true;
  }
  if (!word.starts_with(kLimited)) return false;
  policy.workspace_limit = memory::parse_bytes(word.substr(kLimited.size()));
  return true;
}

}  // namespace

ConvPolicy parse_conv_policy(std::string_view text) {
  ConvPolicy policy;
  const std::size_t comma = text.find(',');
  const std::string_view first = text.substr(0, comma);
  if (comma == std::string_view::npos && read_limit(first, policy)) {
    policy.choice = Choice::heuristic;  // a limit alone: the library's favourite among those within it
    return policy;
  }
  if (read_choice(first, policy) && (comma == std::string_view::npos || read_limit(text.substr(comma + 1), policy))) {
    return policy;
  }
  throw ConfigError(fmt::format(
      "policy \"{}\" is not known; there are auto, heuristic, deterministic, workspace<=SIZE (such as "
      "workspace<=64MiB), zero-workspace, an engine's name such as eng28, pytorch, direct, gemm and fastest; a limit "
      "may follow another policy, as in deterministic,workspace<=64MiB",
      text));
}

std::string describe(const ConvPolicy& policy) {
  std::string limit;
  if (policy.workspace_limit == 0) {
    limit = "zero-workspace";
  } else if (policy.workspace_limit != std::numeric_limits<memory::Bytes>::max()) {
    limit = fmt::format("{}{}", kLimited, policy.workspace_limit);
  }
  if (!limit.empty() && policy.choice == Choice::heuristic) return limit;
  std::string text = policy.engine;
  for (const auto& [word, choice] : kWords) {
    if (choice == policy.choice) text = word;
  }
  return limit.empty() ? text : text + ',' + limit;
}

}  // namespace mnemo
