// Data parallelism in one process: a copy of a model on each of several devices, each with its part of every batch, and
// their gradients averaged.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <mnemo/mnemo.h>

#include "models/registry.h"

namespace mnemo::labs {

class Replicas {
 public:
  /// So many fresh devices of that name, with equal models on them and Adam. `sharded` (ZeRO, stage 1: Rajbhandari et
  /// al., 2019): each parameter has one replica whose optimizer steps it, and which sends it to the others.
  Replicas(const models::Spec& spec, const std::string& device, std::size_t count, bool sharded);

  /// One step on a batch that lies on the host, its size a multiple of the number of replicas.
  void step(const models::Batch& batch);

  std::size_t count() const { return replicas_.size(); }
  const Device& device(std::size_t replica) const { return replicas_[replica].device; }
  const std::vector<Tensor>& parameters(std::size_t replica) const { return replicas_[replica].parameters; }
  /// Who held what when the last step's forward pass was over.
  const memory::CategoryBytes& forward(std::size_t replica) const { return replicas_[replica].forward; }
  /// Of values that the last step has sent from one device to another.
  memory::Bytes sent() const { return sent_; }

 private:
  struct Replica {
    Device device;
    std::unique_ptr<models::Model> model = nullptr;
    std::vector<Tensor> parameters = {};
    std::unique_ptr<optim::Adam> optimizer = nullptr;  ///< null where it would have no parameter
    memory::CategoryBytes forward = {};
  };

  void run(Replica& replica, const Tensor& input, const Tensor& targets) const;
  /// The mean of all replicas' gradients of a parameter, on its owner's device in the place of the owner's gradient.
  void average(std::size_t parameter);
  Tensor send(const Tensor& from, const Device& to_device);

  const models::Spec& spec_;
  bool sharded_;
  std::vector<Replica> replicas_;
  std::vector<std::size_t> owners_;  ///< of each parameter; the first replica unless sharded
  memory::Bytes sent_ = 0;
};

/// Which of `count` owners has which parameter: the largest first, each to the one that has least.
std::vector<std::size_t> share_out(const std::vector<Tensor>& parameters, std::size_t count);

}  // namespace mnemo::labs
