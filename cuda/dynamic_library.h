// A shared library that is loaded when it is first asked for, and stays as long as the process: a program starts and
// works where there is none.
#pragma once

#include <dlfcn.h>

#include <string>
#include <vector>

namespace mnemo::cuda {

class DynamicLibrary {
 public:
  /// The first of the paths that can be loaded; a path without a folder is looked for where the system does.
  explicit DynamicLibrary(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle_ != nullptr) break;
      const char* reason = dlerror();  // NOLINT(concurrency-mt-unsafe): of this thread in glibc
      obstacle_ += (obstacle_.empty() ? "" : "; ") + (reason == nullptr ? path : std::string(reason));
    }
    if (handle_ != nullptr) obstacle_.clear();
  }

  bool is_loaded() const { return handle_ != nullptr; }
  /// Why it cannot be used: that no path could be loaded, or which function it lacks first. "" if it can.
  const std::string& obstacle() const { return obstacle_; }

  /// The function of that name, or null.
  template <class Function>
  void find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(handle_, name));
    if (function == nullptr && obstacle_.empty()) obstacle_ = std::string("the library has no ") + name;
  }

 private:
  void* handle_ = nullptr;
  std::string obstacle_;
};

}  // namespace mnemo::cuda
