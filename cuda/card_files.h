// The texts of cuda/cards/*.json; the build writes them into the library, so that a program needs no files.
#pragma once

#include <span>

namespace mnemo::cuda {

struct CardFile {
  const char* name;  ///< without ".json"
  const char* text;
};

std::span<const CardFile> card_files();

}  // namespace mnemo::cuda
