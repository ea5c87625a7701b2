// Sequential: layers one after the other, named by their number.
#pragma once

#include <memory>
#include <vector>

#include <mnemo/nn/module.h>

namespace mnemo::nn {

/// Any module that maps one tensor to one tensor, behind one type. Copies share the module.
class AnyModule {
 public:
  template <class M>
  AnyModule(M module) : holder_(std::make_shared<Holder<M>>(std::move(module))) {}

  Tensor operator()(const Tensor& x) { return holder_->forward(x); }
  /// As Visitor::child does for a module of known type.
  void accept(const std::string& name, Visitor& v) { holder_->accept(name, v); }

 private:
  struct Concept {
    virtual ~Concept() = default;
    virtual Tensor forward(const Tensor& x) = 0;
    virtual void accept(const std::string& name, Visitor& v) = 0;
  };
  template <class M>
  struct Holder final : Concept {
    explicit Holder(M m) : module(std::move(m)) {}
    Tensor forward(const Tensor& x) override { return module(x); }
    void accept(const std::string& name, Visitor& v) override { v.child(name, module); }
    M module;
  };

  std::shared_ptr<Concept> holder_;
};

/// `Sequential net(Conv2d({...}), ReLU(), Flatten(), Linear({...}))`
class Sequential : public Module<Sequential> {
 public:
  template <class... Layers>
  explicit Sequential(Layers... layers) {
    (layers_.emplace_back(std::move(layers)), ...);
  }
  // A single Sequential as argument is a copy, not a layer.
  Sequential(const Sequential&) = default;
  Sequential(Sequential&) = default;
  Sequential(Sequential&&) = default;
  Sequential& operator=(const Sequential&) = default;

  template <class Layer>
  Sequential& add(Layer layer) {
    layers_.emplace_back(std::move(layer));
    return *this;
  }

  std::size_t size() const { return layers_.size(); }
  /// REQUIRES: index < size()
  AnyModule& operator[](std::size_t index) { return layers_[index]; }
  Tensor forward(Tensor x) {
    for (AnyModule& layer : layers_) x = layer(x);
    return x;
  }
  void visit(Visitor& v) {
    for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i].accept(std::to_string(i), v);
  }

 private:
  std::vector<AnyModule> layers_;
};

}  // namespace mnemo::nn
