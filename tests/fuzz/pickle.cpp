// Any bytes as a snapshot in a pickle: refused with a FileError, or a recording that holds together, calls included.
#include <cstddef>
#include <cstdint>
#include <string>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/import.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (!bytes.starts_with('\x80')) bytes.insert(0, "\x80\x04");
  std::string recording;
  try {
    recording = mnemo::memory::import_snapshot(std::move(bytes), "snapshot").bytes;
  } catch (const mnemo::FileError&) {
    return 0;
  }
  // What was made of it must be readable: an error here is one of the program.
  mnemo::memory::calls_of(mnemo::memory::Recording::parse(std::move(recording), "recording"));
  return 0;
}
