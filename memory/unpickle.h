// Reads pickles, Python's files of objects, of plain data only: nothing that a pickle says is ever called, made or
// looked up.
#pragma once

#include <string>

#include <mnemo/memory/plain_data.h>

namespace mnemo::memory {

/// The data of a pickle of protocol 2, 3 or 4; tuples become lists, and numbers of more than 63 bits reals. `name` is
/// for error texts.
/// Throws FileError with the opcode and its byte for whatever is no plain data, and for a pickle that is cut off,
/// contradicts itself, is nested more than 200 deep or larger than 4 GiB. Takes at most some 60 times the memory of the
/// file, usually 4 times.
PlainData unpickle(std::string bytes, const std::string& name);

}  // namespace mnemo::memory
