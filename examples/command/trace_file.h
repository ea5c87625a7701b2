// Files of what happened to memory, as the verbs take them: a recording, a snapshot of PyTorch's, or a trace of text.
#pragma once

#include <string>

#include <mnemo/mnemo.h>

#include "command/command.h"

namespace mnemo::command {

/// A recording, or a snapshot as one; warnings of importing go to standard error.
memory::Recording read_recording(const std::string& path);
/// Calls from any of them; "-" is standard input. Warnings go to standard error.
memory::CallTrace read_trace(const std::string& path, int device_index = -1);

/// Adds --device-index, from 0, with its line of help.
void add_device_index(CLI::App& verb, int& index, const std::string& help);

}  // namespace mnemo::command
