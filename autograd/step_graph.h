// A training step as one piece of work for the device: recorded once for each shape of its inputs, then repeated
// without the host's work for each operation. Where steps are small, that is most of their time.
//
//   StepGraph graph;
//   for (...) {
//     const Tensor loss = graph.run({x, y}, [&](std::span<const Tensor> in) {
//       optimizer.zero_grad();
//       Tensor l = cross_entropy(net.forward(in[0]), in[1]);
//       l.backward();
//       optimizer.step();
//       return l;
//     });
//   }
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include <mnemo/autograd/tensor.h>
#include <mnemo/core/capture.h>
#include <mnemo/core/stream.h>

namespace mnemo {

/// For each list of input shapes and dtypes the first run is a plain one, the second one is recorded, and from then on
/// the recording is repeated: with the parameters, learning rate, step count, loss scale and random numbers that a
/// plain step would have. On a device that cannot record (the CPU) every run is a plain one.
///
/// The step must be the same each time: what its host code decides is decided once. What it leaves behind besides its
/// result, such as gradients, is that of the shapes that were recorded last. It reads no value from the device
/// (that is a CudaError while it is recorded), and indices are not checked. Parameters, optimizers and whatever else it
/// uses must outlive the graph. Memory of the step belongs to a stream of the graph's own, and is kept as long as the
/// graph.
class StepGraph {
 public:
  using Step = std::function<Tensor(std::span<const Tensor> inputs)>;

  explicit StepGraph(const Device& device = {});
  ~StepGraph();
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;

  /// Copies the inputs to where the step reads them, does the step, and gives its result, which the next run
  /// overwrites. A step that throws has recorded nothing. Throws DeviceError for inputs of another device.
  Tensor run(std::span<const Tensor> inputs, const Step& step);
  Tensor run(std::initializer_list<Tensor> inputs, const Step& step) {
    return run(std::span<const Tensor>(inputs.begin(), inputs.size()), step);
  }

  /// How many lists of shapes are recorded.
  std::size_t recorded() const;

 private:
  struct Entry;
  Entry& entry_for(std::span<const Tensor> inputs);
  void repeat(Entry& entry, const Step& step);

  StreamLease stream_;  ///< on a device that cannot record: the only one
  std::map<std::vector<std::int64_t>, std::unique_ptr<Entry>> entries_;
};

}  // namespace mnemo
