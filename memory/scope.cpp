#include <mnemo/memory/scope.h>

#include <string>

namespace mnemo::memory {

ModuleScope scope(std::string_view name) {
  const char* const outer = current_tag().module;
  if (name.empty()) return ModuleScope(outer);
  std::string path(outer);
  if (!path.empty()) path += '.';
  path += name;
  return ModuleScope(intern(path));
}

}  // namespace mnemo::memory
