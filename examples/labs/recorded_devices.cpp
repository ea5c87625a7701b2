#include "labs/recorded_devices.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace mnemo::labs {

namespace {

thread_local RecordedDevices* recording = nullptr;

}  // namespace

Device open_device(const std::string& name, const memory::AllocatorConfig& config) {
  Device device = Device::open(name, config);
  if (recording != nullptr) recording->record(device);
  return device;
}

RecordedDevices::RecordedDevices(std::filesystem::path folder, std::string lab)
    : folder_(std::move(folder)), lab_(std::move(lab)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (!std::filesystem::is_directory(folder_, error)) {
    throw FileError(folder_.string() + ": is no folder and cannot be made one");
  }
  recording = this;
}

RecordedDevices::~RecordedDevices() { recording = nullptr; }

void RecordedDevices::record(const Device& device) {
  std::string name = device.name();
  std::replace_if(name.begin(), name.end(), [](char c) { return c == ':' || c == ',' || c == '/'; }, '-');
  std::string path = (folder_ / fmt::format("{}-{}-{}.mnemo", lab_, files_.size() + 1, name)).string();
  memory::RecordingAbout about{
      .device = device.name(),
      .context = memory::context(device),
      .metadata = {{"command", "mnemo lab " + lab_}, {"decisions", device.backend().decisions().source()}}};
  memory::Recorder recorder = memory::record(device.allocator(), path, std::move(about));
  files_.push_back({std::move(path), std::move(recorder)});
}

std::vector<std::string> RecordedDevices::finish() {
  std::vector<std::string> written;
  for (File& file : files_) {
    file.recorder.stop();
    if (file.recorder.events() > 0) {
      written.push_back(file.path);
    } else {
      std::filesystem::remove(file.path);
    }
  }
  return written;
}

}  // namespace mnemo::labs
