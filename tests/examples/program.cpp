#include "program.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

TemporaryFile::TemporaryFile(const std::string& content) {
  path_ = (std::filesystem::temp_directory_path() / "mnemo-command-XXXXXX").string();
  const int file = mkstemp(path_.data());
  if (file < 0) throw std::runtime_error("no temporary file");
  close(file);
  std::ofstream(path_) << content;
}

TemporaryFile::~TemporaryFile() { std::filesystem::remove(path_); }

std::string TemporaryFile::read() const {
  std::ostringstream text;
  text << std::ifstream(path_).rdbuf();
  return text.str();
}

Answer mnemo_command(const std::string& arguments, const std::string& environment) {
  const TemporaryFile errors("");
  const std::string line =
      "env -u MNEMO_ALLOC_CONF " + environment + " '" MNEMO_COMMAND "' " + arguments + " 2>'" + errors.path() + "'";
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("no pipe");
  Answer answer;
  char buffer[4096];
  for (std::size_t count; (count = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) answer.out.append(buffer, count);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) answer.code = WEXITSTATUS(status);
  answer.err = errors.read();
  return answer;
}

nlohmann::json object_of(const std::string& arguments, int code) {
  const Answer answer = mnemo_command(arguments + " --json");
  CAPTURE(arguments);
  CAPTURE(answer.err);
  REQUIRE(answer.code == code);
  return answer.json();
}
