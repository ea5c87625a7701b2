// Where results go: standard output, as JSON or as text. Everything else is for standard error.
#pragma once

#include <string>
#include <vector>

#include <mnemo/mnemo.h>
#include <nlohmann/json.hpp>

namespace mnemo::command {

/// Keys in the order in which they were put in.
using Json = nlohmann::ordered_json;

/// The one object of `--json`.
void print_json(const Json& object);
void print(const std::string& text);
/// To standard error, with the command's name before it.
void complain(const std::string& text);

/// Something that was to be written cannot be; the text begins with its name. Ends in exit code 1: the command line was
/// right.
class OutputError : public Error {
 public:
  using Error::Error;
};

/// Throws OutputError unless a file of that name can be written, by what the file system says: nothing is opened, a
/// file that is there stays as it is. For before the work that the file is about; an empty path is no file.
void check_writable(const char* option, const std::string& path);
/// A file to be written, with the option that names it; an empty path is none.
struct Output {
  const char* option;
  std::string path;
};
/// The same for each of several, and throws UsageError where two are one file, or one is a file that is read too.
void check_outputs(const std::vector<Output>& outputs, const std::vector<std::string>& inputs = {});
/// Makes the folder unless it is there; throws OutputError unless files can be made in it. An empty path is no folder.
void check_folder(const char* option, const std::string& path);

/// Calls `write`, which reads no file: a FileError of it is an OutputError.
template <class F>
decltype(auto) writing(F&& write) {
  try {
    return write();
  } catch (const FileError& error) {
    throw OutputError(error.what());
  }
}

}  // namespace mnemo::command
