#include <mnemo/autograd/offload.h>

#include <mnemo/autograd/grad_mode.h>
#include <mnemo/autograd/stand_in.h>
#include <mnemo/core/families.h>
#include <mnemo/core/work.h>
#include <mnemo/memory/tag.h>

namespace mnemo {

namespace {

thread_local std::optional<OffloadOptions> current;

/// A storage as plain bytes: whatever is in it, and however it is laid out.
Array bytes_of(const StorageRef& storage) {
  return Array(storage, Layout::contiguous(Shape{storage->bytes()}), DType::uint8);
}

/// A copy of a storage's contents on the host.
class HostCopy final : public StandIn {
 public:
  HostCopy(const StorageRef& storage, const Device& host) : device_(storage->device()) {
    const memory::CategoryScope category(memory::Category::saved_activation);
    count_operations(storage->bytes());
    copy_ = bytes_of(storage).to(host);
    version = storage->version();
  }

 private:
  StorageRef restore() override {
    const memory::OpScope op("offload");
    count_operations(copy_.bytes());
    return copy_.to(device_).storage();
  }

  Device device_;
  Array copy_;
};

bool is_activation(const Storage& storage) {
  return storage.category() == memory::Category::live_activation ||
         storage.category() == memory::Category::saved_activation;
}

}  // namespace

OffloadScope::OffloadScope(OffloadOptions options) : before_(std::exchange(current, std::move(options))) {}
OffloadScope::~OffloadScope() { current = std::move(before_); }

Device offload_host(const Device& device) {
  static const Device real = Device::open("cpu"), counted = Device::open("virtual:cpu");
  return device.is_virtual() ? counted : real;
}

std::shared_ptr<StandIn> offloaded(const Array& array) {
  const StorageRef& storage = array.storage();
  if (!current || recomputing() || storage->bytes() == 0 || storage->bytes() < current->threshold ||
      !is_activation(*storage))
    return nullptr;
  const Device host = current->host ? *current->host : offload_host(storage->device());
  if (host == storage->device()) return nullptr;
  const auto copy = std::make_shared<HostCopy>(storage, host);
  storage->set_stand_in(copy);
  return copy;
}

}  // namespace mnemo
