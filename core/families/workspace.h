// Memory that an operation needs only while it runs.
#pragma once

#include <mnemo/core/array.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

/// `bytes` of uint8 in the category workspace; undefined for 0.
inline Array new_workspace(memory::Bytes bytes, const Device& device) {
  if (bytes == 0) return {};
  const memory::CategoryScope category(memory::Category::workspace);
  return {Shape{bytes}, DType::uint8, device};
}

}  // namespace mnemo
