#include <mnemo/memory/advised_blocks.h>

namespace mnemo::memory {

AdvisedBlocks::AdvisedBlocks(const Timeline& timeline, const LayerNotes& notes) : notes_(notes) {
  for (const bool is_parameter : {true, false}) {  // whose sizes tell what the rest is
    for (const auto& [position, block] : timeline.state().blocks()) {
      if (!block.waiting && (block.tag.category == Category::parameter) == is_parameter)
        add(position, block.size, block.requested, block.tag);
    }
  }
}

std::int64_t AdvisedBlocks::parameters_of(const Size& size) const {
  const auto found = parameters_.find(size);
  return found == parameters_.end() ? 0 : found->second;
}

AdvisedBlocks::Kind AdvisedBlocks::kind_of(Bytes requested, const Tag& tag) const {
  if (tag.category == Category::workspace)
    return notes_.of({tag.module, tag.op}).plans.empty() ? Kind::none : Kind::convolution;
  if (tag.category != Category::optimizer_state) return Kind::none;
  if (parameters_of({tag.module, requested}) > 0) return Kind::moment;
  const std::int64_t halves = requested % 2 == 0 ? parameters_of({tag.module, requested / 2}) : 0;
  if (halves == 0) return Kind::code;
  const auto copies = copies_.find({tag.module, requested});
  return copies == copies_.end() || copies->second < halves ? Kind::copy : Kind::moment;
}

void AdvisedBlocks::add(std::uint64_t position, Bytes size, Bytes requested, const Tag& tag) {
  const bool is_parameter = tag.category == Category::parameter;
  const Kind kind = kind_of(requested, tag);
  if (kind == Kind::none && !is_parameter) return;
  const Size place{tag.module, requested};
  if (is_parameter) ++parameters_[place];
  if (kind == Kind::copy) ++copies_[place];
  bytes_[static_cast<std::size_t>(kind)] += size;
  parts_[position] = {kind, size, place, is_parameter};
}

void AdvisedBlocks::remove(std::uint64_t position) {
  const auto found = parts_.find(position);
  if (found == parts_.end()) return;
  const Part& part = found->second;
  if (part.is_parameter) --parameters_[part.size];
  if (part.kind == Kind::copy) --copies_[part.size];
  bytes_[static_cast<std::size_t>(part.kind)] -= part.bytes;
  parts_.erase(found);
}

void AdvisedBlocks::follow(const Event& event) {
  if (event.kind == EventKind::free_requested || event.kind == EventKind::retag) remove(event.position);
  if (event.kind == EventKind::alloc || event.kind == EventKind::retag)
    add(event.position, event.size, event.requested, event.tag);
}

}  // namespace mnemo::memory
