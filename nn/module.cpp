#include <mnemo/nn/module.h>

#include <mnemo/core/error.h>

namespace mnemo::nn {

void Visitor::enter(ModuleState& module) {
  module.path = memory::intern(path_);
  on_module(module);
}

namespace {

/// A layer is made before it has a path: its tensors learn theirs when the model is first visited.
void tell_module(const Tensor& tensor, const std::string& path) {
  const memory::Block* block = tensor.array().storage()->block();
  if (block != nullptr && *block->tag.module == '\0' && !path.empty())
    tensor.array().storage()->set_module(memory::intern(path));
}

}  // namespace

void Visitor::parameter(const char* name, Tensor& tensor) {
  if (!tensor.defined()) return;
  tell_module(tensor, path_);
  on_parameter(path_.empty() ? name : path_ + '.' + name, tensor);
}

void Visitor::buffer(const char* name, Tensor& tensor) {
  if (!tensor.defined()) return;
  tell_module(tensor, path_);
  on_buffer(path_.empty() ? name : path_ + '.' + name, tensor);
}

void Collector::take(const std::string& path) {
  if (names_.insert(path).second) return;
  fail<Error>("visit", "two tensors of the model are called " + path +
                           ": give each child, parameter and buffer its own name, and visit it once");
}

void Collector::on_parameter(const std::string& path, Tensor& tensor) {
  take(path);
  parameters.push_back({path, tensor});
}

void Collector::on_buffer(const std::string& path, Tensor& tensor) {
  take(path);
  buffers.push_back({path, tensor});
}

Replacer::Replacer(const std::vector<NamedTensor>& all) {
  std::set<const Storage*> seen;
  for (const NamedTensor& named : all) {
    if (const Storage* storage = &*named.tensor.array().storage(); !seen.insert(storage).second)
      shared_.insert(storage);
  }
}

const Tensor* Replacer::replaced(const Tensor& tensor) const {
  const Array& array = tensor.array();
  for (const auto& [before, after] : replacements_) {
    const Layout &other = before.array().layout(), &own = array.layout();
    if (before.array().storage() == array.storage() && before.node() == tensor.node() && other.offset == own.offset &&
        other.shape == own.shape && other.strides == own.strides)
      return &after;
  }
  return nullptr;
}

/// The tensor with another array behind it: a leaf again, held for the same purpose.
void Replacer::replace(Tensor& tensor, Array array) {
  if (array.storage() == tensor.array().storage()) return;
  array.storage()->set_category(tensor.array().storage()->category());
  Tensor after(std::move(array), tensor.node() != nullptr);
  after.set_requires_grad(tensor.requires_grad());  // a frozen one stays so, and can be thawed
  if (shared_.contains(&*tensor.array().storage())) replacements_.push_back({tensor, after});
  tensor = std::move(after);
}

void Mover::on_parameter(const std::string&, Tensor& tensor) {
  if (const Tensor* shared = replaced(tensor))
    tensor = *shared;
  else
    replace(tensor, tensor.array().to(device_));
}

void Mover::on_buffer(const std::string& path, Tensor& tensor) { on_parameter(path, tensor); }

void Caster::on_parameter(const std::string& path, Tensor& tensor) {
  if (!is_floating(dtype_)) {
    throw DTypeError("[to] a model can be cast to floating-point dtypes only, not to " + std::string(name(dtype_)) +
                     " (" + path + ")");
  }
  if (const Tensor* shared = replaced(tensor))
    tensor = *shared;
  else if (is_floating(tensor.dtype()))
    replace(tensor, tensor.array().to(dtype_));
}

void Caster::on_buffer(const std::string& path, Tensor& tensor) { on_parameter(path, tensor); }

}  // namespace mnemo::nn
