// Names of kernels and of their shared variables, by the program's own table of symbols.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

#include "launch.h"

namespace emulator {

namespace {

struct Symbol {
  std::uintptr_t bytes;
  std::string name;
};
struct Symbols {
  std::map<std::uintptr_t, Symbol> functions;  ///< by where they lie behind the program's first byte
  std::map<std::uintptr_t, Symbol> variables;  ///< of a host thread, by where they lie behind the first of these
};

Symbols read_symbols() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Symbols symbols;
  Elf64_Ehdr head;
  if (bytes.size() < sizeof head) return symbols;
  std::memcpy(&head, bytes.data(), sizeof head);
  const auto section = [&](std::size_t i) {
    Elf64_Shdr result;
    std::memcpy(&result, bytes.data() + head.e_shoff + i * head.e_shentsize, sizeof result);
    return result;
  };
  for (std::size_t i = 0; i < head.e_shnum; ++i) {
    const Elf64_Shdr table = section(i);
    if (table.sh_type != SHT_SYMTAB) continue;
    const Elf64_Shdr texts = section(table.sh_link);
    for (std::size_t at = 0; at < table.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, bytes.data() + table.sh_offset + at, sizeof symbol);
      const int type = ELF64_ST_TYPE(symbol.st_info);
      if (type != STT_FUNC && type != STT_TLS) continue;
      auto& to = type == STT_FUNC ? symbols.functions : symbols.variables;
      to[symbol.st_value] = {symbol.st_size, bytes.data() + texts.sh_offset + symbol.st_name};
    }
  }
  return symbols;
}

const Symbols& symbols() {
  static const auto* symbols = new Symbols(read_symbols());  // also for what runs when the program ends
  return *symbols;
}

/// Without namespaces.
std::string plain(const std::string& mangled) {
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, nullptr), &std::free);
  std::string name = text ? text.get() : mangled;
  for (const std::string_view word : {"mnemo::cuda::", "(anonymous namespace)::", "mnemo::", "void "}) {
    for (std::size_t at = 0; (at = name.find(word)) != std::string::npos;) name.erase(at, word.size());
  }
  return name;
}

}  // namespace

std::string function_name(const void* function) {
  Dl_info program;
  if (dladdr(function, &program) == 0) return "?";
  const auto& names = symbols().functions;
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  auto found = names.find(address - reinterpret_cast<std::uintptr_t>(program.dli_fbase));
  if (found == names.end()) found = names.find(address);  // a program that is not moved when it is loaded
  if (found == names.end()) return "?";
  const std::string name = plain(found->second.name);
  int depth = 0;  // of template arguments
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) return name.substr(0, i);
  }
  return name;
}

std::string shared_name(std::uintptr_t offset) {
  const auto next = symbols().variables.upper_bound(offset);
  if (next == symbols().variables.begin()) return "?";
  const auto& [begin, symbol] = *std::prev(next);
  if (offset - begin >= symbol.bytes) return "?";
  const std::string name = plain(symbol.name);
  if (name.starts_with("guard variable")) return "";
  const std::size_t scope = name.rfind("::");
  return "byte " + std::to_string(offset - begin) + " of shared " +
         (scope == std::string::npos ? name : name.substr(scope + 2));
}

}  // namespace emulator
