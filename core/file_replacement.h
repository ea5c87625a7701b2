// FileReplacement: a file that is written beside another one and takes its place at once, so that no reader ever sees
// half of it, and nothing is lost when writing fails.
#pragma once

#include <filesystem>
#include <fstream>
#include <system_error>

namespace mnemo {

class FileReplacement {
 public:
  /// Begins a file with a name that no other process has, in the folder of `path`.
  explicit FileReplacement(std::filesystem::path path);
  /// What was not put in place is removed.
  ~FileReplacement();
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;

  std::ostream& stream() { return stream_; }
  /// Ends the file and renames it to `path`. An error, if anything failed since the beginning: then `path` is as it
  /// was.
  std::error_code put_in_place();

 private:
  std::filesystem::path path_, written_;
  std::ofstream stream_;
};

}  // namespace mnemo
