// Any bytes as a snapshot in JSON: refused with a FileError, or a recording that holds together, calls included.
#include <cstddef>
#include <cstdint>
#include <string>

#include <mnemo/memory/call_trace.h>
#include <mnemo/memory/error.h>
#include <mnemo/memory/import.h>
#include <mnemo/memory/plain_data.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  std::string recording;
  try {
    mnemo::memory::read_json(bytes, "json");
    if (bytes.starts_with('\x80')) return 0;  // that would be a pickle
    recording = mnemo::memory::import_snapshot(bytes, "snapshot").bytes;
  } catch (const mnemo::FileError&) {
    return 0;
  }
  // What was made of it must be readable: an error here is one of the program.
  mnemo::memory::calls_of(mnemo::memory::Recording::parse(std::move(recording), "recording"));
  return 0;
}
