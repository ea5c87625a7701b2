// The root of mnemo's errors. Layers above derive from it (core/error.h); running out of memory is
// not one of them: OutOfMemory (memory/out_of_memory.h) is a std::bad_alloc.
#pragma once

#include <stdexcept>

namespace mnemo {

/// Base of every error that mnemo reports. An error changes nothing: the program is as it was before the call.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file or trace that cannot be read; the text names the file, the line and the reason.
class FileError : public Error {
 public:
  using Error::Error;
};

/// An option or configuration text that is not understood; the text names the key and what would be allowed.
class ConfigError : public Error {
 public:
  using Error::Error;
};

}  // namespace mnemo
