#include <mnemo/core/card.h>

#include <algorithm>
#include <array>

namespace mnemo {
namespace {

using memory::MiB;

constexpr double GB = 1e9;
constexpr double TB = 1e12;
constexpr double TFLOPS = 1e12;

// A context grows with the number of multiprocessors (SM). Where nobody's measurement was found, the context is that of
// the nearest measured card, scaled by their number; the source says so.

constexpr Card h100_sxm(const char* name) {
  return {
      .name = name,
      .title = "NVIDIA H100 SXM 80GB",
      .capacity = 85'045'477'376,
      .capacity_source = "deviceQuery output in thamada/nvidia-smi, nvsim/H100SXMx8_deviceQuery.py: 81106 MBytes",
      .context = 518 * MiB,
      .context_source = "no measurement found; derived: a100-80gb's 424 MiB scaled from 108 to 132 SM",
      .bandwidth = 3.35 * TB,
      .float32_flops = 67 * TFLOPS,
      .half_flops = 989 * TFLOPS,
      .speed_source = "NVIDIA H100 data sheet, SXM; half: the figure with sparsity, 1979, halved",
      .matmul_workspace = 32 * MiB,
  };
}

// Sorted by name.
constexpr std::array table{
    Card{
        .name = "a100-40gb",
        .title = "NVIDIA A100 SXM4 40GB",
        .capacity = 42'298'834'944,
        .capacity_source = "deviceQuery output in bottlerocket-os/bottlerocket#3873: 40339 MBytes",
        .context = 424 * MiB,
        .context_source = "assumed equal to a100-80gb: the same chip",
        .bandwidth = 1.555 * TB,
        .float32_flops = 19.5 * TFLOPS,
        .half_flops = 312 * TFLOPS,
        .speed_source = "NVIDIA A100 data sheet, 40GB SXM",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "a100-80gb",
        .title = "NVIDIA A100 SXM4 80GB",
        .capacity = 85'100'068'864,
        .capacity_source = "deviceQuery output in thamada/nvidia-smi, nvsim/A100SXMx4_deviceQuery.py: 81158 MBytes",
        .context = 424 * MiB,
        .context_source = "cudaMemGetInfo as a process starts, in a public log of an A100-SXM4-80GB: 424.06 used",
        .bandwidth = 2.039 * TB,
        .float32_flops = 19.5 * TFLOPS,
        .half_flops = 312 * TFLOPS,
        .speed_source = "NVIDIA A100 data sheet, 80GB SXM",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "b200",
        .title = "NVIDIA B200",
        .capacity = 182'631 * MiB,
        .capacity_source = "torch device properties in a public benchmark log: total_memory=182631MB (whole MiB); "
                           "pytorch/ao#4002 reads 178.35 GiB",
        .context = 581 * MiB,
        .context_source = "no measurement found; derived: a100-80gb's 424 MiB scaled from 108 to 148 SM",
        .bandwidth = 8 * TB,
        .float32_flops = 75 * TFLOPS,
        .half_flops = 2250 * TFLOPS,
        .speed_source = "NVIDIA HGX B200 data sheet, per GPU (pytorch/ao#4002 computes 7.67 TB/s from clock and bus)",
        .matmul_workspace = 32 * MiB,
    },
    h100_sxm("h100"),
    h100_sxm("h100-80gb"),
    Card{
        .name = "h200",
        .title = "NVIDIA H200 SXM 141GB",
        .capacity = 150'109'945'856,
        .capacity_source = "torch device properties in a public script: total_memory=143156MB (whole MiB); "
                           "out-of-memory texts say 139.80 GiB",
        .context = 518 * MiB,
        .context_source = "no measurement found; derived: a100-80gb's 424 MiB scaled from 108 to 132 SM",
        .bandwidth = 4.8 * TB,
        .float32_flops = 67 * TFLOPS,
        .half_flops = 989 * TFLOPS,
        .speed_source = "NVIDIA H200 data sheet, SXM; half: the figure with sparsity, 1979, halved",
        .matmul_workspace = 32 * MiB,
    },
    Card{
        .name = "jetson-orin-8gb",
        .title = "NVIDIA Jetson Orin Nano 8GB",
        .capacity = 7'987'728'384,
        .capacity_source = "deviceQuery output in Canonical's Ubuntu on Jetson documentation: 7618 MBytes "
                           "(board not named, 8 GB by its size; shared with the CPU)",
        .context = 500'000'000,
        .context_source = "rough: \"CUDA context 0.5 GB\" in ace-step/ACE-Step-1.5#1192, on this board",
        .bandwidth = 68 * GB,
        .float32_flops = 1.28 * TFLOPS,
        .half_flops = 10 * TFLOPS,
        .speed_source = "NVIDIA Jetson Orin Nano data sheet, 625 MHz; float32 derived: 1024 cores * 2 * 625 MHz; "
                        "half derived: a quarter of 40 sparse INT8 TOPS",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "l4",
        .title = "NVIDIA L4",
        .capacity = 23'570'219'008,
        .capacity_source = "deviceQuery output in thamada/nvidia-smi, gls/L4_deviceQuery.py: 22478 MBytes",
        .context = 204 * MiB,
        .context_source = "no measurement found; derived: rtx4090's 451 MiB scaled from 128 to 58 SM",
        .bandwidth = 300 * GB,
        .float32_flops = 30.3 * TFLOPS,
        .half_flops = 121 * TFLOPS,
        .speed_source = "NVIDIA L4 data sheet; half: the figure with sparsity, 242, halved",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "l40s",
        .title = "NVIDIA L40S",
        .capacity = 47'803'596'800,
        .capacity_source = "deviceQuery output in thamada/nvidia-smi, nvsim/L40S_deviceQuery.py: 45589 MBytes",
        .context = 500 * MiB,
        .context_source = "no measurement found; derived: rtx4090's 451 MiB scaled from 128 to 142 SM",
        .bandwidth = 864 * GB,
        .float32_flops = 91.6 * TFLOPS,
        .half_flops = 362 * TFLOPS,
        .speed_source = "NVIDIA L40S data sheet",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "rtx3060-12gb",
        .title = "NVIDIA GeForce RTX 3060 12GB",
        .capacity = 12'629'508'096,
        .capacity_source = "deviceQuery output in public repositories, driver for CUDA 12.2: 12044 MBytes",
        .context = 123 * MiB,
        .context_source = "nvbench output in public repositories: 11921 MiB free of 12044 (bare context)",
        .bandwidth = 360 * GB,
        .float32_flops = 12.7 * TFLOPS,
        .half_flops = 25.5 * TFLOPS,
        .speed_source = "derived from NVIDIA's RTX 3060 specification (28 SM, 1.777 GHz, 192 bit at 15 Gbit/s); "
                        "half with float32 accumulation",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "rtx3090",
        .title = "NVIDIA GeForce RTX 3090",
        .capacity = 25'327'697'920,
        .capacity_source = "deviceQuery output in thamada/nvidia-smi, gls/RTX3090_deviceQuery.py: 24154 MBytes",
        .context = 256 * MiB,
        .context_source = "idle process in invoke-ai/InvokeAI#9413: 256 MiB",
        .bandwidth = 936 * GB,
        .float32_flops = 35.6 * TFLOPS,
        .half_flops = 71 * TFLOPS,
        .speed_source = "NVIDIA Ampere GA102 white paper; half with float32 accumulation",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "rtx4090",
        .title = "NVIDIA GeForce RTX 4090",
        .capacity = 25'386'352'640,
        .capacity_source = "deviceQuery output in thamada/nvidia-smi, gls/RTX4090_deviceQuery.py: 24210 MBytes",
        .context = 451 * MiB,
        .context_source = "ggml-org/llama.cpp#15860: 451 MiB beside the program's buffers (context, libraries)",
        .bandwidth = 1.008 * TB,
        .float32_flops = 82.6 * TFLOPS,
        .half_flops = 165.2 * TFLOPS,
        .speed_source = "NVIDIA Ada architecture white paper; half with float32 accumulation",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "t4",
        .title = "NVIDIA T4",
        .capacity = 15'843'721'216,
        .capacity_source = "deviceQuery output in a public repository, driver for CUDA 11.2: 15110 MBytes; "
                           "Morizeyao/GPT2-Chinese#215 reads 14.76 GiB",
        .context = 172 * MiB,
        .context_source = "no measurement found; derived: v100-32gb's 345 MiB scaled from 80 to 40 SM",
        .bandwidth = 320 * GB,
        .float32_flops = 8.1 * TFLOPS,
        .half_flops = 65 * TFLOPS,
        .speed_source = "NVIDIA T4 data sheet",
        .matmul_workspace = 4 * MiB,
    },
    Card{
        .name = "v100-32gb",
        .title = "NVIDIA V100 SXM2 32GB",
        .capacity = 34'089'730'048,
        .capacity_source = "deviceQuery output in public repositories, drivers for CUDA 11.2 and 11.4: 32510 MBytes",
        .context = 345 * MiB,
        .context_source = "NVIDIA/nvbench README, Quadro GV100 (the same chip): 32163 MiB free of 32508 (bare context)",
        .bandwidth = 900 * GB,
        .float32_flops = 15.7 * TFLOPS,
        .half_flops = 125 * TFLOPS,
        .speed_source = "NVIDIA V100 data sheet, SXM2",
        .matmul_workspace = 4 * MiB,
    },
};

/// What drivers call each card.
struct DriverName {
  std::string_view device, card;
};
constexpr DriverName driver_names[] = {
    {"NVIDIA A100-SXM4-40GB", "a100-40gb"},
    {"NVIDIA A100-SXM4-80GB", "a100-80gb"},
    {"NVIDIA B200", "b200"},
    {"NVIDIA H100 80GB HBM3", "h100"},
    {"NVIDIA H200", "h200"},
    {"NVIDIA L4", "l4"},
    {"NVIDIA L40S", "l40s"},
    {"NVIDIA GeForce RTX 3060", "rtx3060-12gb"},
    {"NVIDIA GeForce RTX 3090", "rtx3090"},
    {"NVIDIA GeForce RTX 4090", "rtx4090"},
    {"Tesla T4", "t4"},
    {"Tesla V100-SXM2-32GB", "v100-32gb"},
};

}  // namespace

std::span<const Card> cards() { return table; }

const Card* find_card(std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Card& card) { return card.name == name; });
  return found == table.end() ? nullptr : &*found;
}

const Card* card_of_device(std::string_view device) {
  constexpr std::string_view kVirtual = "virtual:";
  if (!device.starts_with(kVirtual)) return nullptr;
  device.remove_prefix(kVirtual.size());
  return find_card(device.substr(0, device.find(',')));
}

const Card* card_of_driver(std::string_view device_name) {
  for (const DriverName& name : driver_names) {
    if (name.device == device_name) return find_card(name.card);
  }
  return nullptr;
}

const char* first_name(const Card& card) {
  const std::string_view title = card.title;
  return std::find_if(table.begin(), table.end(), [title](const Card& other) { return other.title == title; })->name;
}

}  // namespace mnemo
