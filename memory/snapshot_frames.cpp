#include <mnemo/memory/snapshot_frames.h>

#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace mnemo::memory {
namespace {

using Kind = PlainData::Kind;

constexpr std::size_t kLongest = 200;  // of a name: a file may have one long name in many frames

std::string_view shortened(std::string_view text) { return text.substr(0, kLongest); }

/// The path's last two parts: enough to know it again.
std::string_view last_parts(std::string_view path) {
  const std::size_t last = path.find_last_of("/\\");
  if (last == std::string_view::npos || last == 0) return path;
  const std::size_t before = path.find_last_of("/\\", last - 1);
  return before == std::string_view::npos ? path : path.substr(before + 1);
}

/// Where torch itself, the interpreter below it and code without a source lie.
bool is_internal(std::string_view file) {
  constexpr std::string_view kInternal[] = {
      "-packages/torch/", "/torch/csrc/", "/torch/nn/",     "/torch/autograd/", "/torch/optim/", "/torch/utils/",
      "/torch/cuda/",     "/torch/_",     "/torch/amp/",    "/aten/src/",       "/ATen/",        "/c10/",
      "/pybind11/",       "/Python/",     "/Objects/",      "<frozen",          "/include/c++/", "/sysdeps/",
      "torch/_",          "/Modules/",    "/triton/runtime"};
  if (file.empty() || file == "??" || file.starts_with("<eval_with_key>")) return true;
  for (const std::string_view part : kInternal) {
    if (file.find(part) != std::string_view::npos) return true;
  }
  return false;
}

/// What compiled code without a known source is called when it is torch's, or what starts its threads.
bool is_internal_name(std::string_view name) {
  constexpr std::string_view kInternal[] = {"torch::",      "c10::", "at::",    "std::", "void at::", "pybind11::",
                                            "start_thread", "clone", "__clone", "_Py",   "Py",        "cfunction_"};
  if (name.empty() || name == "??") return true;
  for (const std::string_view part : kInternal) {
    if (name.starts_with(part)) return true;
  }
  return false;
}

/// Of "torch::autograd::generated::ConvolutionBackward0::apply(...)" the node, of "at::_ops::convolution::call(...)"
/// the operation: where a thread of torch's own has no other stack, as that of backward. Empty for any other name.
std::string_view node_or_operation(std::string_view name) {
  const auto inside = [name](std::string_view before, std::string_view after) -> std::string_view {
    const std::size_t end = name.find(after);
    if (!name.starts_with(before) || end == std::string_view::npos || end <= before.size()) return {};
    const std::string_view path = name.substr(before.size(), end - before.size());
    const std::size_t last = path.substr(0, path.find('<')).rfind("::");
    return last == std::string_view::npos ? path : path.substr(last + 2);
  };
  for (const auto& [before, after] : {std::pair("torch::autograd::", "::apply("), std::pair("at::_ops::", "::call("),
                                      std::pair("at::_ops::", "::redispatch(")}) {
    if (const std::string_view found = inside(before, after); !found.empty()) return found;
  }
  return {};
}

bool is_python(std::string_view file) { return file.ends_with(".py") || file.starts_with("<"); }

}  // namespace

const char* SnapshotFrames::keep(std::string text) { return texts_.insert(std::move(text)).first->c_str(); }

SnapshotFrames::Frame SnapshotFrames::read_frame(PlainId id) const {
  const PlainData& data = file_.data;
  Frame frame;
  if (data.kind(id) != Kind::dictionary) return frame;
  const auto text = [&](const char* key) {
    const PlainId found = SnapshotFile::find(data, id, key);
    return data.kind(found) == Kind::text ? shortened(data.text(found)) : std::string_view();
  };
  frame.name = text("name");
  // Of a path the end says more than the beginning.
  const PlainId path = SnapshotFile::find(data, id, "filename");
  if (data.kind(path) == Kind::text) {
    frame.file = data.text(path);
    if (frame.file.size() > kLongest) frame.file.remove_prefix(frame.file.size() - kLongest);
  }
  const PlainId line = SnapshotFile::find(data, id, "line");
  if (data.kind(line) == Kind::number) frame.line = data.number(line);

  const bool python = is_python(frame.file);
  if (!is_internal(frame.file) && (python || !is_internal_name(frame.name))) {
    frame.rank = python ? 5 : 4;
    return frame;
  }
  if (frame.name.empty() || frame.name == "??") return frame;
  frame.rank = 1;
  if (const std::string_view short_name = node_or_operation(frame.name); !short_name.empty()) {
    frame.rank = frame.name.starts_with("torch::") ? 3 : 2;
    frame.name = short_name;
    frame.file = {};
    return frame;
  }
  const bool autograd = frame.file.find("torch/autograd/") != std::string_view::npos;
  if (frame.file.find("torch/optim/") != std::string_view::npos) frame.phase = Phase::optimizer;
  if (autograd && frame.name.find("backward") != std::string_view::npos) frame.phase = Phase::backward;
  if (frame.name.starts_with("torch::autograd::Engine::")) frame.phase = Phase::backward;
  return frame;
}

const SnapshotFrames::Frame& SnapshotFrames::frame(PlainId id) {
  const auto [place, fresh] = known_.try_emplace(id);
  if (fresh) place->second = read_frame(id);
  return place->second;
}

Tag SnapshotFrames::read_own(PlainId frames) {
  Tag tag;
  const std::span<const PlainId> items = file_.data.items(frames);
  if (items.empty()) return tag;
  const Frame first = read_frame(items[0]);
  if (first.name != "(no op)") tag.op = keep(std::string(first.name));
  if (first.file != "(no module)") tag.module = keep(std::string(first.file));
  if (items.size() < 2) return tag;
  const Frame second = read_frame(items[1]);
  for (int i = 0; i < kPhases; ++i) {
    if (second.name == name(static_cast<Phase>(i))) tag.phase = static_cast<Phase>(i);
  }
  constexpr std::string_view kStep = "step ";
  if (second.file.starts_with(kStep)) {
    std::from_chars(second.file.data() + kStep.size(), second.file.data() + second.file.size(), tag.step);
  }
  return tag;
}

Tag SnapshotFrames::read(PlainId frames) {
  Tag tag;
  Frame best;
  for (const PlainId id : file_.data.items(frames)) {
    const Frame& frame = this->frame(id);
    if (tag.phase == Phase::forward) tag.phase = frame.phase;
    // Innermost first. Python's frames are preferred: code in C++ that is not torch's is mostly a library's.
    if (frame.rank > best.rank) best = frame;
  }
  if (best.rank == 0) return tag;
  tag.op = keep(best.file.empty() ? std::string(best.name)
                                  : fmt::format("{} {}:{}", best.name, last_parts(best.file), best.line));
  return tag;
}

const Tag& SnapshotFrames::tag(PlainId frames) {
  const auto [place, fresh] = tags_.try_emplace(frames);
  if (fresh && file_.data.kind(frames) == Kind::list) place->second = file_.own ? read_own(frames) : read(frames);
  return place->second;
}

}  // namespace mnemo::memory
