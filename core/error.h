// Errors of tensors and devices. Each text reads: "[op] module path: the rule broken, with the numbers and shapes; the
// likely fix".
#pragma once

#include <string>

#include <mnemo/memory/error.h>
#include <mnemo/memory/out_of_memory.h>

namespace mnemo {

class ShapeError : public Error {
 public:
  using Error::Error;
};
class DTypeError : public Error {
 public:
  using Error::Error;
};
class DeviceError : public Error {
 public:
  using Error::Error;
};
class GradError : public Error {
 public:
  using Error::Error;
};
class CudaError : public Error {
 public:
  using Error::Error;
};

/// "[conv2d] net.encoder.0: " — how every text begins; the module path is that of the current scope, when there is one.
std::string error_prefix(const char* op);

/// Throws E with `error_prefix(op)` before `text`.
template <class E>
[[noreturn]] void fail(const char* op, const std::string& text) {
  throw E(error_prefix(op) + text);
}

}  // namespace mnemo
