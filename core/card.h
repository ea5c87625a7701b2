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
  memory::Bytes matmul_workspace;  ///< bytes that mnemo gives to a matrix product of cuBLASLt at most
};

/// Where Card::matmul_workspace comes from.
inline constexpr const char* kMatmulWorkspaceSource =
    "set by mnemo: what the cuBLAS reference recommends under cublasSetWorkspace(), 32 MiB for compute capability 9.0 "
    "and 10.x, 4 MiB for older ones";

/// All cards, by name.
std::span<const Card> cards();
/// The card of that name, or nullptr.
const Card* find_card(std::string_view name);
/// The card that a device such as "virtual:h200" or "virtual:h200,24GiB" stands for, or nullptr.
const Card* card_of_device(std::string_view device);
/// The card that drivers call by that name, "NVIDIA H100 80GB HBM3", or nullptr.
const Card* card_of_driver(std::string_view device_name);
/// The first name of a card that is listed under several: they have one title.
const char* first_name(const Card& card);

}  // namespace mnemo
