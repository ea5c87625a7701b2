// Runs the built `mnemo` command and returns what it answered.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

struct Answer {
  int code = -1;  ///< exit code, or -1 when it did not exit by itself
  std::string out, err;

  /// What is on stdout, which must be one JSON object and nothing else.
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

/// `mnemo ARGUMENTS`, read by the shell; `environment` such as "NAME=value".
Answer mnemo_command(const std::string& arguments, const std::string& environment = {});

/// The object of `mnemo ARGUMENTS --json`; the test fails unless it exits with `code`.
nlohmann::json object_of(const std::string& arguments, int code = 0);

/// A file that is gone at the end of the scope.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  std::string read() const;

 private:
  std::string path_;
};
