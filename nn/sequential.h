// Sequential: layers one after the other, named by their number.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <mnemo/autograd/checkpoint_plan.h>
#include <mnemo/nn/functions.h>
#include <mnemo/nn/module.h>

namespace mnemo::nn {

/// Any module that maps one tensor to one tensor, behind one type. Copies share the module.
class AnyModule {
 public:
  template <class M>
  AnyModule(M module) : holder_(std::make_shared<Holder<M>>(std::move(module))) {}

  Tensor operator()(const Tensor& x) { return holder_->forward(x); }
  /// next(this(x)) in one operation, where `next` is a ReLU, both work in place, and there is such a one.
  std::optional<Tensor> together(AnyModule& next, const Tensor& x) {
    const ReLU* relu = next.holder_->as_relu();
    if (relu == nullptr || !relu->in_place) return std::nullopt;
    return holder_->with_relu(*relu, x);
  }
  /// The module as a chain: what its own `stages()` says, or a single stage. They share the module.
  std::vector<Stage> stages() {
    std::vector<Stage> list = holder_->stages();
    for (Stage& stage : list)
      stage.run = [holder = holder_, run = std::move(stage.run)](std::span<const Tensor> x) { return run(x); };
    return list;
  }
  /// As Visitor::child does for a module of known type.
  void accept(const std::string& name, Visitor& v) { holder_->accept(name, v); }

 private:
  struct Concept {
    virtual ~Concept() = default;
    virtual Tensor forward(const Tensor& x) = 0;
    virtual void accept(const std::string& name, Visitor& v) = 0;
    virtual std::vector<Stage> stages() = 0;
    virtual const ReLU* as_relu() const = 0;
    virtual std::optional<Tensor> with_relu(const ReLU& relu, const Tensor& x) = 0;
  };
  template <class M>
  struct Holder final : Concept {
    explicit Holder(M m) : module(std::move(m)) {}
    Tensor forward(const Tensor& x) override { return module(x); }
    void accept(const std::string& name, Visitor& v) override { v.child(name, module); }
    std::vector<Stage> stages() override {
      if constexpr (requires { module.stages(); })
        return module.stages();
      else
        return {make_stage("forward", [this](const Tensor& x) { return module(x); })};
    }
    const ReLU* as_relu() const override {
      if constexpr (std::is_same_v<M, ReLU>)
        return &module;
      else
        return nullptr;
    }
    std::optional<Tensor> with_relu(const ReLU& relu, const Tensor& x) override {
      if constexpr (std::is_base_of_v<Module<M>, M>) {  // not a layer derived from one of mnemo's
        if (!module.in_place) return std::nullopt;
        if constexpr (requires { Tensor(module.with_relu(x, relu.options.pooled)); })
          return module.with_relu(x, relu.options.pooled);
        else if constexpr (requires { Tensor(module.with_relu(x)); })
          return module.with_relu(x);
      }
      return std::nullopt;
    }
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
  /// Layer i, shared with this.
  AnyModule layer(std::size_t i) const { return layers_.at(i); }
  /// Layers first to last - 1 as one stage of a chain. It shares them with this.
  Stage stage(std::size_t first, std::size_t last) const {
    const auto begin = layers_.begin();
    return make_stage(std::to_string(first), [part = std::vector<AnyModule>(begin + static_cast<std::ptrdiff_t>(first),
                                                                            begin + static_cast<std::ptrdiff_t>(last))](
                                                 const Tensor& x) mutable { return run(part, x); });
  }
  /// One stage per layer.
  std::vector<Stage> stages() const {
    std::vector<Stage> list;
    for (std::size_t i = 0; i < layers_.size(); ++i) list.push_back(stage(i, i + 1));
    return list;
  }

  /// From now on forward keeps the inputs of `segments` parts of equal length instead of what their layers save; the
  /// last one, whose backward comes first, keeps it all. 1: everything is kept.
  Sequential& checkpoint(std::size_t segments) { return checkpoint(even_segments(size(), segments)); }
  /// The same by a plan for as many stages as there are layers.
  Sequential& checkpoint(CheckpointPlan plan) {
    plan_ = std::move(plan);
    return *this;
  }

  Tensor forward(Tensor x) {
    if (plan_) return run_chain(*plan_, stages(), x);
    return run(layers_, std::move(x));
  }
  void visit(Visitor& v) {
    for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i].accept(std::to_string(i), v);
  }

 private:
  static Tensor run(std::vector<AnyModule>& layers, Tensor x) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (i + 1 < layers.size()) {
        if (std::optional<Tensor> both = layers[i].together(layers[i + 1], x)) {
          x = *std::move(both);
          ++i;
          continue;
        }
      }
      x = layers[i](x);
    }
    return x;
  }

  std::vector<AnyModule> layers_;
  std::optional<CheckpointPlan> plan_;
};

}  // namespace mnemo::nn
