#include <mnemo/core/file_replacement.h>

#include <cerrno>
#include <random>
#include <utility>

#include <fmt/format.h>

namespace mnemo {

namespace fs = std::filesystem;

FileReplacement::FileReplacement(fs::path path) : path_(std::move(path)) {
  std::error_code error;
  // A link stays, and what it points to is replaced.
  if (fs::is_symlink(path_, error)) path_ = fs::weakly_canonical(path_, error);
  std::random_device random;
  written_ = path_.parent_path() / fmt::format(".{}.{:08x}{:08x}", path_.filename().string(), random(), random());
  errno = 0;
  stream_.open(written_, std::ios::binary);
}

FileReplacement::~FileReplacement() {
  if (written_.empty()) return;
  stream_.close();
  std::error_code ignored;
  fs::remove(written_, ignored);
}

std::error_code FileReplacement::put_in_place() {
  stream_.close();
  std::error_code error;
  // A stream does not say why it failed; the last failure of the system most likely is the reason.
  if (!stream_) return {errno == 0 ? EIO : errno, std::generic_category()};
  // What is no file (a device, a pipe) would be gone.
  if (fs::exists(path_, error) && !fs::is_regular_file(path_, error))
    return std::make_error_code(std::errc::file_exists);
  fs::rename(written_, path_, error);
  if (!error) written_.clear();
  return error;
}

}  // namespace mnemo
