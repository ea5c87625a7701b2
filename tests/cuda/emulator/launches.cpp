// MNEMO_EMULATOR_LAUNCHES=1: says on stderr what is queued, in order. Kernels by the names that the program's own
// table of symbols has for them.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <cuda_runtime.h>
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

namespace emulator {

namespace {

using Names = std::map<std::uintptr_t, std::string>;

/// The functions of the running program, by where they lie behind its first byte.
Names read_names() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Names names;
  Elf64_Ehdr head;
  if (bytes.size() < sizeof head) return names;
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
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC)
        names[symbol.st_value] = bytes.data() + texts.sh_offset + symbol.st_name;
    }
  }
  return names;
}

/// The name of a kernel, without namespaces and parameters.
std::string name_of(const void* kernel) {
  static const Names names = read_names();
  Dl_info program;
  if (dladdr(kernel, &program) == 0) return "?";
  const auto address = reinterpret_cast<std::uintptr_t>(kernel);
  auto found = names.find(address - reinterpret_cast<std::uintptr_t>(program.dli_fbase));
  if (found == names.end()) found = names.find(address);  // a program that is not moved when it is loaded
  if (found == names.end()) return "?";
  const std::unique_ptr<char, decltype(&std::free)> plain(
      abi::__cxa_demangle(found->second.c_str(), nullptr, nullptr, nullptr), &std::free);
  std::string name = plain ? plain.get() : found->second;
  for (const std::string_view word : {"mnemo::cuda::", "(anonymous namespace)::", "mnemo::", "void "}) {
    for (std::size_t at = 0; (at = name.find(word)) != std::string::npos;) name.erase(at, word.size());
  }
  int depth = 0;  // of template arguments
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) return name.substr(0, i);
  }
  return name;
}

bool is_wanted() {
  static const bool wanted = std::getenv("MNEMO_EMULATOR_LAUNCHES") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  return wanted;
}

}  // namespace

void list_launch(const void* kernel, dim3 grid, dim3 block) {
  if (!is_wanted()) return;
  const unsigned long long blocks = 1ULL * grid.x * grid.y * grid.z;
  std::fprintf(stderr, "launch %s <<<%llu, %u>>>\n", name_of(kernel).c_str(), blocks, block.x * block.y * block.z);
}
void list_work(const char* what, std::size_t bytes) {
  if (is_wanted()) std::fprintf(stderr, "launch %s %zu bytes\n", what, bytes);
}

}  // namespace emulator
