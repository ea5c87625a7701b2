// From the stack of an allocation, as a snapshot has it, to the tag that says where it comes from.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include <mnemo/memory/snapshot_file.h>

namespace mnemo::memory {

class SnapshotFrames {
 public:
  /// The file stays the caller's.
  explicit SnapshotFrames(const SnapshotFile& file) : file_(file) {}

  /// `op` is the innermost frame outside of torch, "name file:line"; without one the node of autograd that ran, or the
  /// operation; without any of them the innermost frame; without frames the empty text. The phase is backward or
  /// optimizer below a frame of torch's that says so. Of a file written by mnemo it is the tag itself. The category is
  /// `other`. Its texts live as long as this.
  const Tag& tag(PlainId frames);

 private:
  struct Frame {
    std::string_view name;
    std::string_view file;
    std::int64_t line = 0;
    int rank = 0;  // 5: outside of torch, in Python; 4: outside of torch; 3: a node; 2: an operation; 1: other
    Phase phase = Phase::forward;
  };
  Frame read_frame(PlainId id) const;
  const Frame& frame(PlainId id);
  Tag read(PlainId frames);
  Tag read_own(PlainId frames);
  const char* keep(std::string text);

  const SnapshotFile& file_;
  std::unordered_map<PlainId, Frame> known_;  // stacks share most of their frames
  std::unordered_map<PlainId, Tag> tags_;
  std::unordered_set<std::string> texts_;
};

}  // namespace mnemo::memory
