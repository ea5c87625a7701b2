#include "command/trace_file.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>

#include <CLI/CLI.hpp>

#include "command/output.h"

namespace mnemo::command {

namespace {

std::string read_all(std::istream& stream, const std::string& name) {
  std::string bytes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad()) throw FileError(name + ": cannot be read");
  return bytes;
}

memory::CallTrace calls(const std::string& path, const memory::ImportOptions& options) {
  if (path == "-") return memory::read_calls(read_all(std::cin, "stdin"), "stdin", options);
  if (std::filesystem::is_regular_file(path)) return memory::read_calls(path, options);
  std::ifstream pipe(path, std::ios::binary);
  if (!pipe || std::filesystem::is_directory(path)) throw FileError(path + ": cannot be opened for reading");
  return memory::read_calls(read_all(pipe, path), path, options);
}

}  // namespace

memory::Recording read_recording(const std::string& path) {
  memory::RecordingFile file = memory::read_recording(path);
  for (const std::string& warning : file.warnings) complain("warning: " + warning);
  return file.recording;
}

memory::CallTrace read_trace(const std::string& path, int device_index) {
  memory::CallTrace trace = calls(path, {.device_index = device_index});
  // Nothing can be said of it, and most likely another file was meant.
  if (trace.calls.empty() && trace.blocks_before.empty()) throw FileError(path + ": has no allocations in it");
  for (const std::string& warning : trace.warnings) complain("note: " + warning);
  return trace;
}

void add_device_index(CLI::App& verb, int& index, const std::string& help) {
  // CLI11 has NonNegativeNumber for this, whose error writes out the largest double.
  verb.add_option("--device-index", index, help)->check(CLI::Range(0, std::numeric_limits<int>::max()));
}

}  // namespace mnemo::command
