// A main for the fuzz targets where there is no libFuzzer: the files of a folder, each as it is, then with random
// changes, for two seconds. The same order every time, so that what it finds can be found again.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void test(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

/// Some bytes changed, taken out, doubled or taken from another file.
std::string changed(std::string bytes, const std::string& other, std::mt19937_64& random) {
  for (std::uint64_t changes = 1 + random() % 4; changes > 0 && !bytes.empty(); --changes) {
    const std::size_t place = random() % bytes.size();
    const std::size_t length = std::min<std::size_t>(1 + random() % 16, bytes.size() - place);
    switch (random() % 5) {
      case 0:
        bytes[place] = static_cast<char>(bytes[place] ^ (1 << (random() % 8)));
        break;
      case 1:
        bytes[place] = static_cast<char>(random());
        break;
      case 2:
        bytes.erase(place, length);
        break;
      case 3:
        bytes.insert(place, bytes.substr(random() % bytes.size(), length));
        break;
      case 4:
        if (!other.empty()) bytes.insert(place, other.substr(random() % other.size(), length));
        break;
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    test(corpus.back());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no files to begin with\n");
    return 1;
  }
  std::mt19937_64 random(1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  long runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    test(changed(corpus[random() % corpus.size()], corpus[random() % corpus.size()], random));
  }
  std::printf("%zu files, %ld changed ones\n", corpus.size(), runs);
  return 0;
}
