// What a program says on standard error: its log.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

/// What is written to standard error meanwhile.
template <class F>
std::string logged(F&& f) {
  char path[] = "/tmp/mnemo-log-XXXXXX";
  const int file = mkstemp(path), before = dup(2);
  dup2(file, 2);
  f();
  dup2(before, 2);
  close(before);
  close(file);
  std::ifstream stream(path);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  std::filesystem::remove(path);
  return text;
}
