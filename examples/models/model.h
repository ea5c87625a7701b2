// Model: any network of the zoo behind one type.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <mnemo/mnemo.h>

namespace mnemo::models {

/// A network that maps one tensor to one tensor. It owns its parameters, which lie on the device it was made on.
class Model {
 public:
  virtual ~Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  virtual Tensor forward(const Tensor& x) = 0;
  /// What forward does, as a chain; a single stage where the model does not say of what it is made.
  virtual std::vector<Stage> stages() = 0;
  virtual std::vector<nn::NamedTensor> named_parameters() = 0;
  virtual std::vector<nn::NamedTensor> named_buffers() = 0;
  /// Casts parameters and buffers.
  virtual void to(DType dtype) = 0;
  /// See nn::Module::work_in_place.
  virtual void work_in_place(bool mode) = 0;

  std::vector<Tensor> parameters();
  /// Number of trained values.
  std::int64_t parameter_count();

 protected:
  Model() = default;
};

/// Puts a module behind the type.
template <class M>
std::unique_ptr<Model> as_model(M module) {
  class Holder final : public Model {
   public:
    // Visited here, so that every layer knows its path before the first forward.
    explicit Holder(M m) : module_(std::move(m)) { nn::Collector().run(module_); }
    Tensor forward(const Tensor& x) override { return module_(x); }
    std::vector<Stage> stages() override {
      if constexpr (requires { module_.stages(); })
        return module_.stages();
      else
        return {make_stage("forward", [this](const Tensor& x) { return module_(x); })};
    }
    std::vector<nn::NamedTensor> named_parameters() override { return module_.named_parameters(); }
    std::vector<nn::NamedTensor> named_buffers() override { return module_.named_buffers(); }
    void to(DType dtype) override { module_.to(dtype); }
    void work_in_place(bool mode) override { module_.work_in_place(mode); }

   private:
    M module_;
  };
  return std::make_unique<Holder>(std::move(module));
}

}  // namespace mnemo::models
