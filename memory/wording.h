// Words that every answer about memory uses: numbers of bytes, the names of
// places, causes.
#pragma once

#include <string>
#include <string_view>

#include <mnemo/memory/bytes.h>
#include <mnemo/memory/tag.h>

namespace mnemo::memory {

/// 25690112 as "25,690,112".
std::string grouped(Bytes number);
/// "+192.50 MiB", "-512 bytes".
std::string signed_bytes(Bytes bytes);

/// A name from a recording, fit for a terminal: control characters and
/// backslashes as "\x1b", at most 200 bytes of it.
std::string printable(std::string_view name);
/// "layer1.0.conv1 conv2d", printable; one of the two alone where the other is
/// empty.
std::string where(std::string_view module, std::string_view op);
/// "backward: conv2d of layer1.0.conv1", printable.
std::string place(Phase phase, std::string_view module, std::string_view op);

/// "activations saved", "optimizer state": the category for a sentence.
const char* words(Category category);

}  // namespace mnemo::memory
