// The devices of a lab, recorded on demand: one file for each that it opens.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <mnemo/mnemo.h>

namespace mnemo::labs {

/// A fresh device for a measurement. It is recorded where RecordedDevices live.
Device open_device(const std::string& name, const memory::AllocatorConfig& config = {});

/// While it lives, each device that `open_device` opens on this thread is recorded to `folder`, as
/// resolution-1-virtual-h200.mnemo, resolution-2-...: the lab's name, the number of the device in order, its name. One
/// at a time.
class RecordedDevices {
 public:
  /// Makes the folder. Throws FileError when that fails.
  RecordedDevices(std::filesystem::path folder, std::string lab);
  ~RecordedDevices();
  RecordedDevices(const RecordedDevices&) = delete;
  RecordedDevices& operator=(const RecordedDevices&) = delete;

  /// Completes the files, and takes those away on whose device nothing was allocated: such a one only answered
  /// questions. Returns the others. Throws FileError when something could not be written.
  std::vector<std::string> finish();

 private:
  friend Device open_device(const std::string& name, const memory::AllocatorConfig& config);
  struct File {
    std::string path;
    memory::Recorder recorder;
  };
  void record(const Device& device);

  std::filesystem::path folder_;
  std::string lab_;
  std::vector<File> files_;
};

}  // namespace mnemo::labs
