#include "models/vgg.h"

#include <initializer_list>
#include <iterator>

namespace mnemo::models {

Vgg16::Vgg16()
    : classifier(nn::Flatten(), nn::Linear({.in = 512 * 7 * 7, .out = 4096}), nn::ReLU(), nn::Dropout(),
                 nn::Linear({.in = 4096, .out = 4096}), nn::ReLU(), nn::Dropout(),
                 nn::Linear({.in = 4096, .out = 1000})) {
  constexpr std::int64_t pool = 0;
  constexpr std::int64_t layers[] = {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0};
  std::int64_t in = 3;
  for (std::size_t i = 0; i < std::size(layers); ++i) {
    const std::int64_t out = layers[i];
    if (out == pool) {
      features.add(nn::MaxPool2d({.kernel = 2}));
      continue;
    }
    features.add(nn::Conv2d({.in = in, .out = out, .kernel = 3, .padding = 1}))
        .add(nn::ReLU({.pooled = layers[i + 1] == pool}));
    in = out;
  }
}

std::vector<Stage> Vgg16::stages() const {
  std::vector<Stage> list;
  std::size_t at = 0;
  for (const std::size_t convolutions : {2, 2, 3, 3, 3}) {
    for (std::size_t i = 1; i < convolutions; ++i, at += 2) list.push_back(features.stage(at, at + 2));
    list.push_back(features.stage(at, at + 1));
    list.push_back(features.stage(at + 1, at + 3));
    at += 3;
  }
  for (const auto& [first, last] : {std::pair(0, 4), std::pair(4, 7), std::pair(7, 8)})
    list.push_back(classifier.stage(static_cast<std::size_t>(first), static_cast<std::size_t>(last)));
  return list;
}

}  // namespace mnemo::models
