// Writes small files for the fuzzers to begin with: what the program itself makes of short workloads.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <mnemo/core/tensor_header.h>
#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>

#include "memory/recorded_workload.h"

namespace {

/// One, several and no tensors, with all that a header can say.
void write_files_of_tensors(const std::filesystem::path& folder) {
  using mnemo::TensorHeader;
  const TensorHeader headers[] = {
      {},
      {.entries = {{"x", "F32", {2, 3}}}, .metadata = {{"format", "pt"}}},
      {.entries = {{"conv.weight", "BF16", {2, 1, 3}}, {"conv.bias", "F64", {}}, {"none", "I64", {0, 5}}}},
      {.entries = {{"half bytes", "F4", {4}}, {"six bits", "F6_E2M3", {4, 2}}, {"b", "BOOL", {3}}, {"i", "U64", {1}}}}};
  for (std::size_t i = 0; i < std::size(headers); ++i) {
    TensorHeader header = headers[i];
    mnemo::lay_out(header.entries);
    std::ofstream file(folder / std::to_string(i), std::ios::binary);
    file << mnemo::write_tensor_header(header, "corpus");
    if (!header.entries.empty()) file << std::string(header.entries.back().end, '\1');
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mnemo::memory;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  for (const char* kind : {"recording", "pickle", "json", "calls", "tensors"})
    std::filesystem::create_directories(folder / kind);
  int number = 0;
  for (const char* options : {"", "expandable_segments:True", "max_split_size_mb:20"}) {
    for (const int operations : {0, 3, 12, 40}) {
      for (const int before : {0, 15}) {
        const std::string file = std::to_string(number++);
        RecordedWorkload workload(options, 150 * MiB);
        workload.run(before);
        const Recorder recorder = record(workload.allocator(), Ring{16}, {.device = "d", .metadata = {{"a", "b"}}});
        workload.run(operations);
        recorder.save((folder / "recording" / file).string());
        std::ofstream pickle(folder / "pickle" / file, std::ios::binary);
        write_memory_viz(recorder.recording(), pickle);
        std::ofstream json(folder / "json" / file, std::ios::binary);
        write_memory_viz_json(recorder.recording(), json);
        for (const char* kind : {"recording", "pickle", "json"}) {
          json.flush(), pickle.flush();
          std::filesystem::copy_file(folder / kind / file, folder / "calls" / (file + "." + kind),
                                     std::filesystem::copy_options::overwrite_existing);
        }
      }
    }
  }
  std::ofstream(folder / "calls" / "text")
      << "# of every kind\nalloc, a, 1000, 0\nalloc,b,3000000,1\nrecord_stream,a,1\n"
         "free,a\ncomplete\nfree,b\nalloc,a,20000000,0\nempty_cache\nreset_peak\n";
  write_files_of_tensors(folder / "tensors");
  return 0;
}
