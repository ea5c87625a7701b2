// Random programs: which operations on which shapes, layouts and parameters follow from a seed alone, so that one
// program can be run on several devices, or in several ways, and the runs compared.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <mnemo/autograd/ops.h>

namespace programs {

struct Options {
  std::uint64_t seed = 0;
  int operations = 14;
  mnemo::DType dtype = mnemo::DType::float32;
  bool smooth = false;        ///< only operations whose derivatives have no jumps
  int grouped = 0;            ///< of 100 operations, how many are a group of others
  bool checkpointed = false;  ///< groups keep their inputs alone
  bool recomputed = false;    ///< groups do not keep their result; with `checkpointed` those around others or in them
  bool autocast = false;      ///< to float16, or to bfloat16 where the seed is odd
};

class Program {
 public:
  Program(const Options& options, mnemo::Device device) : options_(options), device_(std::move(device)) {}

  mnemo::Tensor input();
  /// The loss. Parameters are made in the first run.
  mnemo::Tensor forward(const mnemo::Tensor& input);
  std::vector<mnemo::Tensor>& parameters() { return parameters_; }

  /// Called with the name of each operation behind it.
  std::function<void(const std::string&)> after = [](const std::string&) {};

 private:
  /// Where the choices and the lists of parameters stand.
  struct Position {
    std::mt19937_64 choices;
    std::size_t parameter = 0, buffer = 0;
    int depth = 0;
  };

  std::int64_t any(std::int64_t low, std::int64_t high);  ///< both included
  bool chance(int percent) { return any(1, 100) <= percent; }
  int axis_of(const mnemo::Tensor& x) { return static_cast<int>(any(0, x.rank() - 1)); }
  mnemo::Tensor numbers(const mnemo::Shape& shape, std::uint64_t number, double scale, double shift) const;
  mnemo::Tensor parameter(const mnemo::Shape& shape, double scale, double shift = 0);
  mnemo::Tensor buffer(std::int64_t channels, double value);
  mnemo::Tensor pick() { return pool_[static_cast<std::size_t>(any(0, static_cast<std::int64_t>(pool_.size()) - 1))]; }
  mnemo::Tensor pick_like(const mnemo::Tensor& x);

  void run(int count);
  mnemo::Tensor group();
  // Each gives an undefined tensor where it does not suit x.
  mnemo::Tensor operation(std::string& name);
  mnemo::Tensor convolve(const mnemo::Tensor& x);
  mnemo::Tensor convolve_transposed(const mnemo::Tensor& x, const mnemo::Tensor& bias, std::int64_t kernel);
  mnemo::Tensor pool(const mnemo::Tensor& x);
  mnemo::Tensor normalize_rows(const mnemo::Tensor& x);
  mnemo::Tensor normalize(const mnemo::Tensor& x);
  mnemo::Tensor reshape(const mnemo::Tensor& x);
  mnemo::Tensor multiply(const mnemo::Tensor& x);
  mnemo::Tensor combine(const mnemo::Tensor& x);
  mnemo::Tensor map(const mnemo::Tensor& x);

  Options options_;
  mnemo::Device device_;
  Position at_;
  Position end_;  ///< of the group that ran last
  std::vector<mnemo::Tensor> pool_, parameters_, buffers_;
};

}  // namespace programs
