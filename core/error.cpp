#include <mnemo/core/error.h>

#include <fmt/format.h>

#include <mnemo/memory/tag.h>

namespace mnemo {

std::string error_prefix(const char* op) {
  const char* module = memory::current_tag().module;
  return *module ? fmt::format("[{}] {}: ", op, module) : fmt::format("[{}] ", op);
}

}  // namespace mnemo
