#include <mnemo/core/staged_values.h>

#include <array>

#include <mnemo/core/backend.h>
#include <mnemo/core/families.h>

namespace mnemo {

namespace {

/// All axes, so that the elements of a dense array lie in this order.
Dims memory_order(const Layout& layout) {
  std::array<int, kMaxRank> axes{};
  const int count = layout.axes_by_stride(axes);
  Dims order;
  for (int i = 0; i < count; ++i) order.push_back(axes[static_cast<std::size_t>(i)]);
  for (int axis = 0; axis < layout.shape.rank(); ++axis) {
    if (layout.shape[axis] == 1) order.push_back(axis);
  }
  return order;
}

}  // namespace

void StagedValues::add(const Array& values, const Array& target) {
  if (target.device().is_virtual() || target.numel() == 0) return;
  const Array host = values.to(target.dtype());
  if (!target.layout().is_dense()) {
    entries_.push_back({host.contiguous(), Array(target.shape(), target.dtype(), target.device()), target});
    return;
  }
  const Dims order = memory_order(target.layout());
  entries_.push_back({host.permute(order).contiguous(), target.permute(order), {}});
}

void StagedValues::write() {
  for (const auto& [host, place, target] : entries_) {
    place.device().backend().write(host.data<std::byte>(), place);
    if (target.defined())
      copy_into(place, target);
    else
      place.storage()->changed_in_place();
  }
}

}  // namespace mnemo
