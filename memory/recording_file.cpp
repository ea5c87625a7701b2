#include <mnemo/memory/recording_file.h>

#include <utility>

#include <mnemo/memory/error.h>
#include <mnemo/memory/recording_format.h>
#include <mnemo/memory/whole_file.h>

namespace mnemo::memory {

bool is_recording(std::string_view bytes) { return bytes.starts_with(kRecordingMagic); }

bool is_snapshot(std::string_view bytes) {
  for (const std::string_view start : {"\x80", "PK\x03\x04", "\x1f\x8b", "\xef\xbb\xbf{"}) {
    if (bytes.starts_with(start)) return true;
  }
  const std::size_t begin = bytes.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && bytes[begin] == '{';
}

RecordingFile read_recording(const std::string& path, const ImportOptions& options) {
  return parse_recording(read_whole_file(path), path, options);
}

RecordingFile parse_recording(std::string bytes, const std::string& name, const ImportOptions& options) {
  if (is_snapshot(bytes)) {
    ImportedRecording imported = import_snapshot(std::move(bytes), name, options);
    return {Recording::parse(std::move(imported.bytes), name), std::move(imported.warnings)};
  }
  if (!is_recording(bytes)) throw FileError(name + ": is no recording, and no snapshot of PyTorch's");
  if (options.device_index > 0) {
    throw ConfigError(name + ": is a recording of one device; only a snapshot of PyTorch's has several");
  }
  return {Recording::parse(std::move(bytes), name), {}};
}

}  // namespace mnemo::memory
