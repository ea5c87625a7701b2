// Cards: what is known of a GPU model, so that a virtual device can stand for it.
#pragma once

#include <span>
#include <string_view>

#include <mnemo/memory/bytes.h>

namespace mnemo {

/// One GPU model. Every figure says where it comes from.
struct Card {
  const char* name;        ///< as in "virtual:NAME"
  const char* title;       ///< as its maker writes it
  memory::Bytes capacity;  ///< bytes that the driver reports as total
  const char* capacity_source;
  memory::Bytes context;  ///< bytes that a process's context and libraries take before the first allocation
  const char* context_source;
  double bandwidth;      ///< memory, bytes per second
  double float32_flops;  ///< peak arithmetic, operations per second
  double half_flops;     ///< float16 on tensor cores, dense
  const char* speed_source;
};

/// All cards, by name.
std::span<const Card> cards();
/// The card of that name, or nullptr.
const Card* find_card(std::string_view name);

}  // namespace mnemo
