// Module: the base of every layer and model. A model is a plain struct with layers as members, `forward(x)`, and one
// `visit(v)` that names each of them once; everything else follows from visit.
//
//   struct Net : nn::Module<Net> {
//     nn::Conv2d conv{{.in = 3, .out = 16, .kernel = 3}};
//     nn::Linear head{{.in = 16 * 30 * 30, .out = 10}};
//     Tensor forward(const Tensor& x) { return head(flatten(relu(conv(x)))); }
//     void visit(nn::Visitor& v) { v.child("conv", conv), v.child("head", head); }
//   };
//
// What visit forgets is not trained, moved or saved. `Net other = net` shares the parameters of net, as copies of
// tensors do: nn::copy (state.h) copies the values. In a model's own functions `to(x, dtype)` is written
// `mnemo::to(x, dtype)`, since `to` is its own. C++ keeps what is made in a statement until its end: of
// `y = b(relu(a(x)))` three results are there at once, also where no gradient needs them. Statements of their own,
// `y = a(x); y = relu(y); y = b(y);`, and a Sequential let each go as soon as the next one is there.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <mnemo/autograd/tensor.h>
#include <mnemo/memory/tag.h>

namespace mnemo::nn {

/// What every layer has, whatever its type.
struct ModuleState {
  bool training = true;
  bool in_place = false;  ///< activations overwrite their inputs, and keep what takes least memory
  const char* path = "";  ///< "encoder.0.conv": how ledger and errors name it; set whenever the model is visited
};

/// Walks over a model's parameters, buffers and children.
class Visitor {
 public:
  virtual ~Visitor() = default;

  /// For `visit` functions. An undefined tensor (a layer without bias) is passed over.
  void parameter(const char* name, Tensor& tensor);
  /// State that is saved with the model and not trained.
  void buffer(const char* name, Tensor& tensor);
  template <class M>
  void child(const std::string& name, M& module) {
    const std::size_t length = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += name;
    enter(module);
    module.visit(*this);
    path_.resize(length);
  }

  /// Visits a whole model.
  template <class M>
  void run(M& model) {
    enter(model);
    model.visit(*this);
  }

 protected:
  virtual void on_module(ModuleState&) {}
  virtual void on_parameter(const std::string& /*path*/, Tensor&) {}
  virtual void on_buffer(const std::string& /*path*/, Tensor&) {}

 private:
  void enter(ModuleState& module);

  std::string path_;
};

/// A tensor of a model with its dotted name.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// The base of a layer or model of type Derived, which has `forward` and `visit`.
template <class Derived>
struct Module : ModuleState {
  /// forward(x...), with the module's path on everything that is allocated in it.
  template <class... Args>
  auto operator()(Args&&... args) {
    const memory::ModuleScope scope(*path ? path : memory::current_tag().module);
    return self().forward(std::forward<Args>(args)...);
  }

  std::vector<NamedTensor> named_parameters();
  std::vector<NamedTensor> named_buffers();
  /// One that has several names (`b.weight = a.weight`) is there once.
  std::vector<Tensor> parameters();
  /// Those of them that require a gradient, for an optimizer where others are frozen (set_requires_grad(false)).
  std::vector<Tensor> trainable_parameters();
  /// Number of trained values, each counted once.
  std::int64_t parameter_count();

  /// Behaviour of dropout and batch normalization, in the whole model.
  Derived& train(bool training = true);
  Derived& eval() { return train(false); }
  /// From now on activations of the whole model overwrite their inputs where nothing needs those, normalizations with a
  /// relu are one operation, relus before pooling keep bits, and what GELU, SiLU, LayerNorm and GroupNorm make is
  /// computed again in backward: until then their parameters must not change, which would be a GradError. Values and
  /// gradients stay the same, bit for bit.
  Derived& work_in_place(bool mode = true);
  /// Moves (or casts the floating-point) parameters and buffers; what is shared stays so. Gradients are dropped: do it
  /// before making the optimizer.
  Derived& to(const Device& device);
  Derived& to(DType dtype);

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
  std::vector<NamedTensor> everything();
};

/// The walks behind Module's functions.
class Collector final : public Visitor {
 public:
  std::vector<NamedTensor> parameters, buffers;

 private:
  // Throw Error for a name that another tensor has already: files and the ledger could not tell them apart.
  void on_parameter(const std::string& path, Tensor& tensor) override;
  void on_buffer(const std::string& path, Tensor& tensor) override;
  void take(const std::string& path);
  std::set<std::string> names_;
};

class TrainingSwitch final : public Visitor {
 public:
  explicit TrainingSwitch(bool training) : training_(training) {}

 private:
  void on_module(ModuleState& module) override { module.training = training_; }
  bool training_;
};

class InPlaceSwitch final : public Visitor {
 public:
  explicit InPlaceSwitch(bool in_place) : in_place_(in_place) {}

 private:
  void on_module(ModuleState& module) override { module.in_place = in_place_; }
  bool in_place_;
};

/// Tensors that get other arrays behind them. Those that share their elements share the new ones.
class Replacer : public Visitor {
 protected:
  /// `all`: what will be visited.
  explicit Replacer(const std::vector<NamedTensor>& all);
  void replace(Tensor& tensor, Array array);
  /// What took the place of a tensor that others share, if that was done; or null.
  const Tensor* replaced(const Tensor& tensor) const;

 private:
  struct Replacement {
    Tensor before, after;
  };
  std::set<const Storage*> shared_;
  std::vector<Replacement> replacements_;  ///< of these alone: the others' memory goes as the walk goes on
};

class Mover final : public Replacer {
 public:
  Mover(Device device, const std::vector<NamedTensor>& all) : Replacer(all), device_(std::move(device)) {}

 private:
  void on_parameter(const std::string&, Tensor& tensor) override;
  void on_buffer(const std::string&, Tensor& tensor) override;
  Device device_;
};

class Caster final : public Replacer {
 public:
  Caster(DType dtype, const std::vector<NamedTensor>& all) : Replacer(all), dtype_(dtype) {}

 private:
  void on_parameter(const std::string&, Tensor& tensor) override;
  void on_buffer(const std::string&, Tensor& tensor) override;
  DType dtype_;
};

template <class Derived>
std::vector<NamedTensor> Module<Derived>::named_parameters() {
  Collector collector;
  collector.run(self());
  return std::move(collector.parameters);
}

template <class Derived>
std::vector<NamedTensor> Module<Derived>::named_buffers() {
  Collector collector;
  collector.run(self());
  return std::move(collector.buffers);
}

template <class Derived>
std::vector<NamedTensor> Module<Derived>::everything() {
  std::vector<NamedTensor> all = named_parameters();
  for (NamedTensor& buffer : named_buffers()) all.push_back(std::move(buffer));
  return all;
}

template <class Derived>
std::vector<Tensor> Module<Derived>::parameters() {
  std::vector<Tensor> tensors;
  std::set<const Node*> seen;
  for (NamedTensor& named : named_parameters()) {
    if (named.tensor.node() == nullptr || seen.insert(named.tensor.node().get()).second)
      tensors.push_back(std::move(named.tensor));
  }
  return tensors;
}

template <class Derived>
std::vector<Tensor> Module<Derived>::trainable_parameters() {
  std::vector<Tensor> tensors = parameters();
  std::erase_if(tensors, [](const Tensor& tensor) { return !tensor.requires_grad(); });
  return tensors;
}

template <class Derived>
std::int64_t Module<Derived>::parameter_count() {
  std::int64_t count = 0;
  for (const Tensor& tensor : parameters()) count += tensor.numel();
  return count;
}

template <class Derived>
Derived& Module<Derived>::train(bool mode) {
  TrainingSwitch(mode).run(self());
  return self();
}

template <class Derived>
Derived& Module<Derived>::work_in_place(bool mode) {
  InPlaceSwitch(mode).run(self());
  return self();
}

template <class Derived>
Derived& Module<Derived>::to(const Device& device) {
  Mover mover(device, everything());
  mover.run(self());
  return self();
}

template <class Derived>
Derived& Module<Derived>::to(DType dtype) {
  Caster caster(dtype, everything());
  caster.run(self());
  return self();
}

}  // namespace mnemo::nn
