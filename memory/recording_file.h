// Files that hold a recording, told by their content: mnemo's own, or a snapshot of PyTorch's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <mnemo/memory/import.h>
#include <mnemo/memory/recording.h>

namespace mnemo::memory {

bool is_recording(std::string_view bytes);
/// A pickle or JSON; also what is packed, so that its reader can say so.
bool is_snapshot(std::string_view bytes);

struct RecordingFile {
  Recording recording;
  std::vector<std::string> warnings;  ///< of importing: what was left out or made good, a sentence each
};

/// Throws FileError with the file and the reason, and ConfigError for a device that is not in the snapshot.
RecordingFile read_recording(const std::string& path, const ImportOptions& options = {});
/// The same from the bytes of a file; `name` is for error texts.
RecordingFile parse_recording(std::string bytes, const std::string& name, const ImportOptions& options = {});

}  // namespace mnemo::memory
