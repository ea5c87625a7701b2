// Whether a layer's `visit` names every parameter and buffer that its constructor allocated: the ledger knows them all.
#pragma once

#include <doctest/doctest.h>

#include <set>
#include <string>

#include <mnemo/memory/allocator.h>
#include <mnemo/nn/module.h>

/// Makes a layer on a device of its own and compares what visit names with what the ledger holds.
template <class Make>
void check_visit_is_complete(const char* name, const Make& make) {
  using namespace mnemo;
  CAPTURE(name);
  const Device device = Device::open("virtual:cpu");
  const DeviceScope scope(device);
  auto layer = make();
  memory::Bytes parameters = 0, buffers = 0;
  std::set<std::string> names;
  const auto add = [&](const std::vector<nn::NamedTensor>& tensors, memory::Bytes& bytes, bool requires_grad) {
    for (const nn::NamedTensor& named : tensors) {
      CAPTURE(named.name);
      CHECK(names.insert(named.name).second);
      CHECK(named.tensor.requires_grad() == requires_grad);
      bytes += named.tensor.array().storage()->block()->size;
    }
  };
  add(layer.named_parameters(), parameters, true);
  add(layer.named_buffers(), buffers, false);
  const memory::CategoryBytes held = device.allocator().categories();
  CHECK(parameters == held[static_cast<std::size_t>(memory::Category::parameter)]);
  CHECK(buffers == held[static_cast<std::size_t>(memory::Category::other)]);
  CHECK(parameters + buffers == device.allocator().allocated());
  CHECK(layer.parameters().size() == layer.named_parameters().size());
}
