// Writes small files for the fuzzers to begin with: what the program itself makes of short workloads.
#include <filesystem>
#include <fstream>
#include <string>

#include <mnemo/memory/memory_viz.h>
#include <mnemo/memory/recorder.h>

#include "memory/recorded_workload.h"

int main(int argc, char** argv) {
  using namespace mnemo::memory;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  for (const char* kind : {"recording", "pickle", "json", "calls"}) std::filesystem::create_directories(folder / kind);
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
  std::ofstream(folder / "calls" / "text") << "# of every kind\nalloc, a, 1000, 0\nalloc,b,3000000,1\nrecord_stream,a,1\n"
                                             "free,a\ncomplete\nfree,b\nalloc,a,20000000,0\nempty_cache\nreset_peak\n";
  return 0;
}
