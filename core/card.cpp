#include <mnemo/core/card.h>

#include <array>

namespace mnemo {
namespace {

using memory::GiB;
using memory::MiB;

constexpr double GB = 1e9, TB = 1e12, TFLOPS = 1e12;

constexpr memory::Bytes gib(double x) { return static_cast<memory::Bytes>(x * double{GiB}) / MiB * MiB; }

constexpr Card h100_80gb(const char* name) {
  return {name, "NVIDIA H100 SXM5 80GB", gib(79.11), "preliminary", 520 * MiB, "preliminary",
          3.35 * TB, 67 * TFLOPS, 989 * TFLOPS, "NVIDIA H100 data sheet, SXM"};
}

constexpr std::array table{
    Card{"a100-40gb", "NVIDIA A100 SXM4 40GB", gib(39.39), "preliminary", 450 * MiB, "preliminary",
         1.555 * TB, 19.5 * TFLOPS, 312 * TFLOPS, "NVIDIA A100 data sheet"},
    Card{"a100-80gb", "NVIDIA A100 SXM4 80GB", gib(79.15), "preliminary", 450 * MiB, "preliminary",
         2.039 * TB, 19.5 * TFLOPS, 312 * TFLOPS, "NVIDIA A100 data sheet"},
    Card{"b200", "NVIDIA B200", gib(178.35), "preliminary", 600 * MiB, "preliminary",
         8 * TB, 75 * TFLOPS, 2250 * TFLOPS, "NVIDIA B200 data sheet"},
    h100_80gb("h100"),
    h100_80gb("h100-80gb"),
    Card{"h200", "NVIDIA H200", 150754820096, "totalGlobalMem on the card", 520 * MiB, "preliminary",
         4.8 * TB, 67 * TFLOPS, 989 * TFLOPS, "NVIDIA H200 data sheet, SXM"},
    Card{"jetson-orin-8gb", "NVIDIA Jetson Orin Nano 8GB", gib(7.4), "preliminary", 300 * MiB, "preliminary",
         68 * GB, 1.28 * TFLOPS, 10 * TFLOPS, "NVIDIA Jetson Orin Nano data sheet"},
    Card{"l4", "NVIDIA L4", gib(22.05), "preliminary", 400 * MiB, "preliminary",
         300 * GB, 30.3 * TFLOPS, 121 * TFLOPS, "NVIDIA L4 data sheet"},
    Card{"l40s", "NVIDIA L40S", gib(44.39), "preliminary", 450 * MiB, "preliminary",
         864 * GB, 91.6 * TFLOPS, 362 * TFLOPS, "NVIDIA L40S data sheet"},
    Card{"rtx3060-12gb", "NVIDIA GeForce RTX 3060 12GB", gib(11.76), "preliminary", 300 * MiB, "preliminary",
         360 * GB, 12.7 * TFLOPS, 51 * TFLOPS, "NVIDIA GeForce RTX 3060 specification"},
    Card{"rtx3090", "NVIDIA GeForce RTX 3090", gib(23.69), "preliminary", 400 * MiB, "preliminary",
         936 * GB, 35.6 * TFLOPS, 142 * TFLOPS, "NVIDIA GA102 white paper"},
    Card{"rtx4090", "NVIDIA GeForce RTX 4090", gib(23.64), "preliminary", 450 * MiB, "preliminary",
         1.008 * TB, 82.6 * TFLOPS, 330.3 * TFLOPS, "NVIDIA Ada white paper"},
    Card{"t4", "NVIDIA T4", gib(14.75), "preliminary", 300 * MiB, "preliminary",
         320 * GB, 8.1 * TFLOPS, 65 * TFLOPS, "NVIDIA T4 data sheet"},
    Card{"v100-32gb", "NVIDIA V100 SXM2 32GB", gib(31.74), "preliminary", 300 * MiB, "preliminary",
         900 * GB, 15.7 * TFLOPS, 125 * TFLOPS, "NVIDIA V100 data sheet"},
};

}  // namespace

std::span<const Card> cards() { return table; }

const Card* find_card(std::string_view name) {
  for (const Card& card : table) {
    if (card.name == name) return &card;
  }
  return nullptr;
}

}  // namespace mnemo
